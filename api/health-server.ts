/**
 * HTTP for a process without REST, or for one that is still waiting for what it
 * needs: alive, and ready or not. Everything else is answered with `elsewhere`.
 */
import { type Logger } from 'pino'
import { type AppError } from '../core/errors.ts'
import { createApp } from './app.ts'
import { listen, type Address } from './listen.ts'
import { healthRoutes } from './routes/health.ts'
import { metricsRoute } from './routes/metrics.ts'
import { type ApiServer } from './server.ts'
import { type Readiness } from './contract/schemas.ts'

export interface HealthDeps { log: Logger, ready: () => Promise<Readiness>, elsewhere?: () => AppError }

export async function startHealth (
  address: Address, { log, ready, elsewhere }: HealthDeps
): Promise<ApiServer> {
  const app = createApp(log, { onUnknownRoute: elsewhere && (async () => { throw elsewhere() }) })
  healthRoutes(app, ready)
  metricsRoute(app)
  const port = await listen(app, address)
  return {
    port,
    async [Symbol.asyncDispose] () {
      const closed = app.close()
      app.server.closeAllConnections()
      await closed
    }
  }
}
