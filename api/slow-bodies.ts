/**
 * A body that is not whole in time ends its request, so that a slow sender holds no connection for ever.
 *
 * All bodies share one timer: one for each was 3 % of a send's CPU. A body may therefore take up to ROUND_MS
 * longer than it should.
 */
import { type FastifyRequest } from 'fastify'
import { type IncomingMessage } from 'node:http'
import { answerBadConnection } from './contract/problems.ts'

const BODY_WITHIN_MS = 60_000
const ROUND_MS = 1_000

declare module 'fastify' {
  interface FastifyContextConfig {
    /** How long the body of a request may take; BODY_WITHIN_MS by default. */
    bodyWithinMs?: number
  }
}

export interface BodyDeadlines extends Disposable {
  watch (request: FastifyRequest): void
  /** To be called when the request is answered; a body that is still coming goes on being watched. */
  release (request: FastifyRequest): void
}

export function startBodyDeadlines (): BodyDeadlines {
  const deadlines = new Map<IncomingMessage, number>()
  const rounds = setInterval(() => {
    const now = performance.now()
    for (const [raw, deadline] of deadlines) {
      if (raw.complete || raw.destroyed) deadlines.delete(raw)
      else if (now >= deadline) end(raw)
    }
  }, ROUND_MS).unref()

  function end (raw: IncomingMessage): void {
    deadlines.delete(raw)
    const error = new Error('the body took too long')
    answerBadConnection(Object.assign(error, { code: 'ERR_HTTP_REQUEST_TIMEOUT' }), raw.socket)
  }

  return {
    watch ({ raw, headers, routeOptions }) {
      if (headers['transfer-encoding'] === undefined && (headers['content-length'] ?? '0') === '0') return
      deadlines.set(raw, performance.now() + (routeOptions.config.bodyWithinMs ?? BODY_WITHIN_MS))
    },
    release ({ raw }) {
      if (raw.complete) deadlines.delete(raw)
    },
    [Symbol.dispose] () { clearInterval(rounds) }
  }
}
