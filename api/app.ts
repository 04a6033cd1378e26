/**
 * The HTTP application without its routes: how requests are read, checked and
 * answered. The validator is the one that MQTT commands use, and every error
 * leaves as a problem.
 */
import { type TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import fastify, {
  LogController, type FastifyBaseLogger, type FastifyInstance, type FastifyReply, type FastifyRequest,
  type RawServerDefault
} from 'fastify'
import { type IncomingMessage, type ServerResponse } from 'node:http'
import { type Logger } from 'pino'
import { invalid } from '../core/errors.ts'
import { answerBadConnection, answerError } from './contract/problems.ts'
import { allowOrigins } from './requests/cross-origin.ts'
import { REQUEST_ID_LABEL, requestIdOf } from './request-id.ts'
import { followRequests, type Requests } from './requests/requests.ts'
import { answerUnknownRoutes } from './requests/unknown-routes.ts'
import { compileValidator } from './requests/validation.ts'

const BODY_LIMIT_BYTES = 256 * 1024
/** Above what any route allows; the HTTP parser knows only one for all. */
const REQUEST_TIMEOUT_MS = 900_000
/** Longer than any poll: a client that reads nothing of its answer for so long loses its connection. */
const CONNECTION_TIMEOUT_MS = 120_000
/** A device id of 128 characters fits, percent-encoded. A longer one is a problem, not an unknown route. */
const MAX_PARAM_LENGTH = 2_048

export type App = FastifyInstance<
  RawServerDefault, IncomingMessage, ServerResponse, FastifyBaseLogger, TypeBoxTypeProvider
>

/** PEM. */
export interface TlsCertificate { cert: Buffer, key: Buffer }

export interface AppOptions {
  /** Answers what no route takes; 404 or 405 by default. */
  onUnknownRoute?: (request: FastifyRequest, reply: FastifyReply) => unknown
  trustProxy?: boolean
  /** Pages of other origins that may use the routes; none by default. */
  corsOrigins?: string[]
  /** With it, the server speaks HTTPS only. */
  tls?: TlsCertificate
}

export async function createApp (
  log: Logger, { onUnknownRoute, trustProxy = false, corsOrigins, tls }: AppOptions = {}
): Promise<{ app: App, requests: Requests }> {
  const app = fastify({
    ...tls && { https: tls } as object,
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

  app.setValidatorCompiler(compileValidator)
  // Response schemas describe, they do not filter: a compiled serializer drops
  // every field that its schema does not name.
  app.setSerializerCompiler(() => data => JSON.stringify(data))
  app.setErrorHandler(answerError)
  app.setNotFoundHandler(onUnknownRoute ?? answerUnknownRoutes(app))
  const requests = followRequests(app, log)
  // First: a page is shown a refusal only if the answer names its origin.
  await allowOrigins(app, corsOrigins)
  app.addHook('onRequest', refuseCompressed)
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, parseJson)
  return { app, requests }
}

// The limit is on what a client sends; it says nothing of what that would unpack to (RFC 9110, 15.5.16).
function refuseCompressed (
  request: FastifyRequest, reply: FastifyReply, next: (error?: Error) => void
): void {
  const coding = request.headers['content-encoding']
  if (coding === undefined || coding.toLowerCase() === 'identity') return next()
  reply.header('accept-encoding', 'identity')
  next(Object.assign(new Error('a compressed body'), { statusCode: 415 }))
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

// Undefined for an empty body. Bytes that are not UTF-8 must not be stored as replacement characters.
function parseJson (
  _request: FastifyRequest, body: Buffer, done: (error: Error | null, value?: unknown) => void
): void {
  let value: unknown
  try {
    value = body.length === 0 ? undefined : JSON.parse(utf8.decode(body))
  } catch {
    return done(invalid('malformed_json', 'the body is not valid JSON in UTF-8'))
  }
  done(null, value)
}
