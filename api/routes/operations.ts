/** For those who run the process: is it alive, can it do its work, and what does it measure? */
import { register } from 'prom-client'
import { Type } from 'typebox'
import { type App } from '../app.ts'
import { Readiness, refer } from '../contract/schemas.ts'

const operation = (summary: string) => ({ tags: ['operations'], summary, security: [] })

export function operationRoutes (app: App, ready: () => Promise<Readiness>): void {
  app.get('/health', {
    config: { unlimited: true },
    schema: {
      ...operation('The process is alive'),
      response: { 200: Type.Object({ status: Type.Literal('ok') }, { description: 'Alive' }) }
    }
  }, async () => ({ status: 'ok' as const }))

  app.get('/ready', {
    config: { unlimited: true },
    schema: {
      ...operation('The process can do its work'),
      response: { 200: refer(Readiness, 'Ready'), 503: refer(Readiness, 'A dependency is away') }
    }
  }, async (_request, reply) => {
    const state = await ready()
    return await reply.code(state.ready ? 200 : 503).send(state)
  })

  app.get('/metrics', {
    config: { unlimited: true },
    schema: {
      ...operation('Metrics for Prometheus'),
      description: 'Meant for the inside: a load balancer should not pass it on.',
      response: {
        200: {
          description: 'Text in the format of Prometheus',
          content: { 'text/plain': { schema: Type.String() } }
        }
      }
    }
  }, async (_request, reply) => await reply.type(register.contentType).send(await register.metrics()))
}
