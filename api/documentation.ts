/** The OpenAPI document, made from the routes' schemas, and its page at /docs. */
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import { type App } from './app.ts'
import { NAMED } from './schemas.ts'

/** Registered before the routes, which it listens to. */
export async function serveDocumentation (app: App): Promise<void> {
  for (const schema of NAMED) app.addSchema(schema)
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Echo',
        version: '1',
        description: 'A messaging backend. What changes arrives as events over MQTT, or here through `/inbox`. Errors are RFC 9457 problems with a stable `code`.'
      },
      components: { securitySchemes: { token: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } } },
      tags: [
        { name: 'messages', description: 'Send, read back, receipts' },
        { name: 'conversations', description: 'Conversations and their participants' },
        { name: 'attachments', description: 'Files to send' },
        { name: 'inbox', description: 'The events of the caller, in order' },
        { name: 'devices', description: 'Where pushes go' },
        { name: 'users', description: 'Profiles and presence' },
        { name: 'admin', description: 'For tokens of scope `admin`' },
        { name: 'operations', description: 'Is it running?' }
      ]
    },
    refResolver: { buildLocalReference: json => String(json.$id) }
  })
  await app.register(swaggerUi, { routePrefix: '/docs' })
}

/** What every operation behind a token says of itself. */
export const operation = (tag: string, summary: string) => ({ tags: [tag], summary, security: [{ token: [] }] })
