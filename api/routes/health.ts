/** For load balancers and people on call: is the process alive, and can it do its work? */
import { Type } from 'typebox'
import { type App } from '../app.ts'

export interface Readiness { ready: boolean, dependencies: Record<string, { ok: boolean, detail?: string }> }

const Ready = Type.Object({
  ready: Type.Boolean(),
  dependencies: Type.Record(Type.String(), Type.Object({ ok: Type.Boolean(), detail: Type.Optional(Type.String()) }))
})

export function healthRoutes (app: App, ready: () => Promise<Readiness>): void {
  app.get('/health', {
    schema: {
      tags: ['operations'],
      summary: 'The process is alive',
      security: [],
      response: { 200: Type.Object({ status: Type.Literal('ok') }) }
    }
  }, async () => ({ status: 'ok' as const }))

  app.get('/ready', {
    schema: { tags: ['operations'], summary: 'The process can do its work', security: [], response: { 200: Ready, 503: Ready } }
  }, async (_request, reply) => {
    const state = await ready()
    return await reply.code(state.ready ? 200 : 503).send(state)
  })
}
