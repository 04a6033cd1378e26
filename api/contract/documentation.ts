/** The OpenAPI document, made from the routes' schemas, and its page at /docs. */
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import { type FastifyInstance, type FastifySchema, type RouteOptions } from 'fastify'
import { withExamples } from './examples.ts'
import { commonCodes, type ProblemCode } from './problem-codes.ts'
import { problems } from './operations.ts'
import { PROBLEM_TYPE } from './problems.ts'
import { NAMED } from './schemas.ts'

/**
 * The page asks only this server, and has styles in its elements. What a token can do must not be clicked in
 * somebody else's frame.
 */
const OWN_SCRIPTS_RUN = [
  "default-src 'none'", "script-src 'self'", "style-src 'self' 'unsafe-inline'", "img-src 'self' data:",
  "connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"
].join('; ')

/** To be registered before the routes: it listens to their registration. */
export async function serveDocumentation (
  app: Pick<FastifyInstance, 'addSchema' | 'register'>
): Promise<void> {
  for (const schema of NAMED) app.addSchema(schema)
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Echo',
        version: '1',
        description: 'A messaging backend. Changes arrive as events over MQTT, or here through `/inbox`. ' +
          'Errors are RFC 9457 problems with a stable `code`.'
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
  await app.register(async pages => {
    pages.addHook('onSend', async (_, reply) => {
      reply.header('x-content-type-options', 'nosniff').header('content-security-policy', OWN_SCRIPTS_RUN)
    })
    await pages.register(swaggerUi, { routePrefix: '/docs' })
  })
}

/** Adds the problems that all operations of a kind share, and that no route names. */
function withCommonProblems (schema: FastifySchema, { method, url }: RouteOptions): FastifySchema {
  if (schema?.response === undefined) return schema
  const readsForm = schema.consumes !== undefined
  const traits = {
    behindToken: schema.security !== undefined && schema.security.length > 0,
    hasInput: [schema.params, schema.querystring, schema.headers, readsForm ? undefined : schema.body]
      .some(part => part !== undefined),
    // JSON is read whether the operation wants a body or not; forms have codes of their own.
    readsJson: !readsForm && !['GET', 'HEAD'].includes([method].flat()[0]!),
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
