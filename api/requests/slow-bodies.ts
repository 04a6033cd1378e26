/** A body that is not whole in time ends its request, so that a slow sender holds no connection for ever. */
import { type FastifyRequest } from 'fastify'
import { answerBadConnection } from '../contract/problems.ts'

const BODY_WITHIN_MS = 60_000

declare module 'fastify' {
  interface FastifyContextConfig {
    /** How long the body of a request may take; BODY_WITHIN_MS by default. */
    bodyWithinMs?: number
  }
}

/** Returns a function for the end of the answer: a body that is still coming then is still watched. */
export function watchBody ({ raw, headers, routeOptions }: FastifyRequest): (() => void) | undefined {
  if (headers['transfer-encoding'] === undefined && (headers['content-length'] ?? '0') === '0') {
    return undefined
  }
  const timer = setTimeout(() => {
    if (raw.complete || raw.destroyed) return
    const error = new Error('the body took too long')
    answerBadConnection(Object.assign(error, { code: 'ERR_HTTP_REQUEST_TIMEOUT' }), raw.socket)
  }, routeOptions.config.bodyWithinMs ?? BODY_WITHIN_MS).unref()
  return () => {
    if (raw.complete || raw.destroyed) clearTimeout(timer)
  }
}
