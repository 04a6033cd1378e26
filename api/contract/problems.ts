/** Errors as RFC 9457 problem details: one table, one shape; a 500 does not say what caused it. */
import { DrizzleQueryError } from 'drizzle-orm/errors'
import { type FastifyReply, type FastifyRequest } from 'fastify'
import { STATUS_CODES } from 'node:http'
import { type Socket } from 'node:net'
import { findAppError, type Fault } from '../../core/errors.ts'
import { describeErrors, type SchemaError } from '../../core/validation.ts'
import { REQUEST_ID_HEADER } from '../request-id.ts'

export const PROBLEM_TYPE = 'application/problem+json'
const RETRY_AFTER_S = 1

export const STATUS_OF_FAULT: Record<Fault, number> = {
  invalid: 400,
  unauthenticated: 401,
  forbidden: 403,
  not_found: 404,
  conflict: 409,
  gone: 410,
  too_large: 413,
  unsatisfiable: 416,
  too_many: 429,
  unavailable: 503
}

/** What the framework refuses by itself. */
const CODE_OF_STATUS: Record<number, { code: string, detail: string }> = {
  400: { code: 'invalid_request', detail: 'the request could not be read' },
  413: { code: 'body_too_large', detail: 'the body is larger than this route accepts' },
  414: { code: 'uri_too_long', detail: 'the address is too long' },
  415: {
    code: 'unsupported_media_type',
    detail: 'the body must be sent as application/json, a file as multipart/form-data, uncompressed'
  }
}

interface ProblemBody { type: 'about:blank', title: string, status: number, code: string, detail: string }

/** The error handler of every route. */
export function answerError (error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const problem = problemOf(error)
  if (problem.code === 'internal') {
    request.log.error({
      err: loggable(error), method: request.method, route: request.routeOptions.url
    }, 'a request failed unexpectedly')
  }
  reply.header(REQUEST_ID_HEADER, request.id) // no hook ran for what the framework refuses
  if (problem.status === 401) reply.header('www-authenticate', 'Bearer')
  if (problem.status === 429 || problem.status === 503) {
    reply.header('retry-after', findAppError(error)?.retryAfterS ?? RETRY_AFTER_S)
  }
  reply.code(problem.status).type(PROBLEM_TYPE).send(JSON.stringify(problem))
}

/**
 * Answers what the HTTP parser itself refuses, and a body that does not come; Fastify cannot answer these.
 */
export function answerBadConnection (error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const status = error.code === 'HPE_HEADER_OVERFLOW'
    ? 431
    : error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : 400
  const body = JSON.stringify(problem(
    status, 'invalid_request', 'the request is not valid HTTP, or was not sent in time'
  ))
  socket.end([
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    `Content-Type: ${PROBLEM_TYPE}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
    '',
    body
  ].join('\r\n'))
}

function problemOf (error: unknown): ProblemBody {
  const own = findAppError(error)
  if (own !== undefined) return problem(STATUS_OF_FAULT[own.fault], own.code, own.message)
  const { validation, validationContext, statusCode } =
    error as { validation?: SchemaError[], validationContext?: string, statusCode?: number }
  if (validation !== undefined) {
    return problem(400, 'invalid_request', describeErrors(validation, validationContext ?? 'request'))
  }
  const known = statusCode === undefined ? undefined : CODE_OF_STATUS[statusCode]
  if (known !== undefined) return problem(statusCode!, known.code, known.detail)
  return problem(500, 'internal', 'something went wrong on the server')
}

export const problem = (status: number, code: string, detail: string): ProblemBody =>
  ({ type: 'about:blank', title: STATUS_CODES[status] ?? 'Error', status, code, detail })

// The query builder's own message repeats the parameters: user names, tokens, contents.
export const loggable = (error: unknown): unknown => error instanceof DrizzleQueryError ? error.cause : error
