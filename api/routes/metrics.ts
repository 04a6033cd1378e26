/** Everything this process measures, for Prometheus. */
import { Type } from 'typebox'
import { register } from 'prom-client'
import { type App } from '../app.ts'

export function metricsRoute (app: App): void {
  app.get('/metrics', {
    config: { unlimited: true },
    schema: {
      tags: ['operations'],
      summary: 'Metrics for Prometheus',
      description: 'Meant for the inside: a load balancer should not pass it on.',
      security: [],
      response: {
        200: {
          description: 'Text in the format of Prometheus', content: { 'text/plain': { schema: Type.String() } }
        }
      }
    }
  }, async (_request, reply) => await reply.type(register.contentType).send(await register.metrics()))
}
