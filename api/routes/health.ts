/** For load balancers and people on call: is the process alive, and can it do its work? */
import { Type } from 'typebox'
import { type App } from '../app.ts'
import { Readiness, refer } from '../contract/schemas.ts'

export function healthRoutes (app: App, ready: () => Promise<Readiness>): void {
  app.get('/health', {
    config: { unlimited: true },
    schema: {
      tags: ['operations'],
      summary: 'The process is alive',
      security: [],
      response: { 200: Type.Object({ status: Type.Literal('ok') }, { description: 'Alive' }) }
    }
  }, async () => ({ status: 'ok' as const }))

  app.get('/ready', {
    config: { unlimited: true },
    schema: {
      tags: ['operations'],
      summary: 'The process can do its work',
      security: [],
      response: { 200: refer(Readiness, 'Ready'), 503: refer(Readiness, 'A dependency is away') }
    }
  }, async (_request, reply) => {
    const state = await ready()
    return await reply.code(state.ready ? 200 : 503).send(state)
  })
}
