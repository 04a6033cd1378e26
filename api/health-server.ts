/**
 * HTTP for a process without REST, and for one that still waits for what it
 * needs: alive, ready or not, and metrics. Every other path is answered with `elsewhere`.
 */
import { type Logger } from 'pino'
import { type AppError } from '../core/errors.ts'
import { createApp, type TlsCertificate } from './app.ts'
import { type Readiness } from './contract/schemas.ts'
import { listen, type Address } from './listen.ts'
import { operationRoutes } from './routes/operations.ts'
import { type ApiServer } from './server.ts'

export interface HealthDeps {
  log: Logger
  ready: () => Promise<Readiness>
  /** With it, the server speaks HTTPS only. */
  tls?: TlsCertificate
  elsewhere?: () => AppError
}

export async function startHealth (
  address: Address, { log, ready, tls, elsewhere }: HealthDeps
): Promise<ApiServer> {
  const { app } = await createApp(log, {
    onUnknownRoute: elsewhere && (async () => { throw elsewhere() }), tls
  })
  operationRoutes(app, ready)
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
