/** The OpenAPI document, made from the routes' schemas, and its page at /docs. */
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import { type FastifySchema, type RouteOptions } from 'fastify'
import { type App } from '../app.ts'
import { withExamples } from './examples.ts'
import { commonCodes, type ProblemCode } from './problem-codes.ts'
import { PROBLEM_TYPE } from './problems.ts'
import { NAMED, problems } from './schemas.ts'

/** Registered before the routes, which it listens to. */
export async function serveDocumentation (app: App): Promise<void> {
  for (const schema of NAMED) app.addSchema(schema)
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Echo',
        version: '1',
        description:
          'A messaging backend. What changes arrives as events over MQTT, or here through `/inbox`. Errors are RFC 9457 problems with a stable `code`.'
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
    transformObject: document =>
      withExamples('openapiObject' in document ? document.openapiObject : document.swaggerObject),
    transform: ({ schema, url, route }) => ({ schema: withCommonProblems(schema, route), url }),
    refResolver: { buildLocalReference: json => String(json.$id) }
  })
  await app.register(swaggerUi, { routePrefix: '/docs' })
}

/** Adds the problems that no route names, because every operation of its kind has them. */
function withCommonProblems (schema: FastifySchema, { method, url }: RouteOptions): FastifySchema {
  if (schema?.response === undefined) return schema
  const traits = {
    behindToken: schema.security !== undefined && schema.security.length > 0,
    hasInput: [schema.params, schema.querystring, schema.headers, schema.consumes === undefined
      ? schema.body
      : undefined].some(part => part !== undefined),
    // JSON is read whether the operation wants a body or not; forms have codes of their own.
    readsJson: schema.consumes === undefined && !['GET', 'HEAD'].includes([method].flat()[0]!),
    hasParams: url.includes(':')
  }
  const response = schema.response as Record<string, ProblemResponse | undefined>
  const own = Object.values(response)
    .flatMap(answer => answer?.content?.[PROBLEM_TYPE]?.schema.allOf[1].properties.code.enum ?? [])
  const all = problems(...own, ...commonCodes(traits))
  // An answer of the route's own under the same status is kept: /ready says more than a problem.
  const others =
    Object.entries(response).filter(([, answer]) => answer?.content?.[PROBLEM_TYPE] === undefined)
  return { ...schema, response: { ...all, ...Object.fromEntries(others) } }
}

interface ProblemResponse {
  content?: Record<string, {
    schema: { allOf: [unknown, { properties: { code: { enum: ProblemCode[] } } }] }
  }>
}

/** What every operation behind a token says of itself. */
export const operation = (tag: string, summary: string) =>
  ({ tags: [tag], summary, security: [{ token: [] }] })
