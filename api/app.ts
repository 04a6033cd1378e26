/**
 * The HTTP application without its routes: how requests are read, checked and
 * answered. Bodies are checked by the validator that MQTT commands use, and
 * every error leaves as a problem.
 */
import { TypeBoxValidatorCompiler, type TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import fastify, {
  LogController, type FastifyBaseLogger, type FastifyInstance, type FastifyReply, type FastifyRequest,
  type RawServerDefault
} from 'fastify'
import { type IncomingMessage, type ServerResponse } from 'node:http'
import { type Logger } from 'pino'
import { invalid } from '../core/errors.ts'
import { followRequests } from './metrics.ts'
import { answerBadConnection, answerError, routeNotFound } from './contract/problems.ts'
import { REQUEST_ID_HEADER, REQUEST_ID_LABEL, requestIdOf } from './request-id.ts'

const BODY_LIMIT_BYTES = 256 * 1024
/** A body that is not whole by then ends its request: slow senders hold no connection for ever. Uploads have longer. */
const BODY_WITHIN_MS = 60_000
/** Above what any route allows; the HTTP parser knows only one for all. */
const REQUEST_TIMEOUT_MS = 900_000
/** Longer than any poll: a client that reads nothing of its answer for so long loses its connection. */
const CONNECTION_TIMEOUT_MS = 120_000
/** A device id of 128 characters, percent-encoded, fits; what is too long for its meaning is a problem, not a lost route. */
const MAX_PARAM_LENGTH = 2_048

export type App = FastifyInstance<RawServerDefault, IncomingMessage, ServerResponse, FastifyBaseLogger, TypeBoxTypeProvider>

declare module 'fastify' {
  interface FastifyContextConfig {
    /** How long the body of a request may take. */
    bodyWithinMs?: number
  }
}

export interface AppOptions {
  /** Answers what no route takes. */
  onUnknownRoute?: (request: FastifyRequest, reply: FastifyReply) => unknown
  trustProxy?: boolean
}

export function createApp (
  log: Logger, { onUnknownRoute = routeNotFound, trustProxy = false }: AppOptions = {}
): App {
  const app = fastify({
    // One hop: what stands further left in X-Forwarded-For is what the client claims.
    trustProxy: trustProxy && ((_address: string, hop: number) => hop === 0),
    loggerInstance: log as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: REQUEST_ID_LABEL }),
    genReqId: requestIdOf,
    bodyLimit: BODY_LIMIT_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionTimeout: CONNECTION_TIMEOUT_MS,
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
    forceCloseConnections: 'idle',
    // Requests on connections that are still open while the server closes are answered as usual.
    return503OnClosing: false,
    frameworkErrors: answerError,
    clientErrorHandler: answerBadConnection
  }).withTypeProvider<TypeBoxTypeProvider>()

  app.setValidatorCompiler(TypeBoxValidatorCompiler)
  // Response schemas describe, they do not filter: a compiled serializer drops
  // every field that its schema does not name.
  app.setSerializerCompiler(() => data => JSON.stringify(data))
  app.setErrorHandler(answerError)
  app.setNotFoundHandler(onUnknownRoute)
  app.addHook('onRequest', async request => endSlowBody(request))
  app.removeAllContentTypeParsers()
  app.addHook('onRequest', async (request, reply) => { reply.header(REQUEST_ID_HEADER, request.id) })
  followRequests(app, log)
  app.addHook('onRequest', refuseCompressed)
  app.addContentTypeParser(
    'application/json', { parseAs: 'buffer' }, async (_request: unknown, body: Buffer) => parseJson(body)
  )
  return app
}

// Limits are for what is sent; what it would unpack to is nobody's promise (RFC 9110, 15.5.16).
async function refuseCompressed (request: FastifyRequest, reply: FastifyReply): Promise<void> {
  const coding = request.headers['content-encoding']
  if (coding === undefined || coding.toLowerCase() === 'identity') return
  reply.header('accept-encoding', 'identity')
  throw Object.assign(new Error('a compressed body'), { statusCode: 415 })
}

function endSlowBody ({ raw, headers, routeOptions }: FastifyRequest): void {
  if (headers['transfer-encoding'] === undefined && (headers['content-length'] ?? '0') === '0') return
  const timer = setTimeout(
    () => answerBadConnection(
      Object.assign(new Error('the body took too long'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' }), raw.socket
    ),
    routeOptions.config.bodyWithinMs ?? BODY_WITHIN_MS)
  raw.once('end', () => clearTimeout(timer)).once('close', () => clearTimeout(timer))
}

/** Undefined for an empty body. Throws `invalid` for what is not JSON in UTF-8: nothing is stored as replacement characters. */
function parseJson (body: Buffer): unknown {
  if (body.length === 0) return undefined
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
  } catch {
    throw invalid('malformed_json', 'the body is not valid JSON in UTF-8')
  }
}
