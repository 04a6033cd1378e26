/** How a connection ends [RFC 6455, 7.4], and how an upgrade is refused. docs/protocol.md has the list. */
import { type Duplex } from 'node:stream'
import { findAppError, type Fault } from '../../core/errors.ts'
import { type EndCause } from '../../messaging/deliver/connections.ts'

export const CLOSE = {
  goingAway: 1001,
  unsupported: 1003,
  policy: 1008,
  internal: 1011,
  tryAgain: 1013,
  unauthenticated: 4401,
  timeout: 4408,
  replaced: 4409,
  tooMany: 4429
} as const

export const CODE_OF_CAUSE: Record<EndCause, number> = {
  token: CLOSE.unauthenticated, replaced: CLOSE.replaced, too_many: CLOSE.tooMany, slow: CLOSE.timeout
}

const CODES: Partial<Record<Fault, number>> = {
  unauthenticated: CLOSE.unauthenticated, unavailable: CLOSE.tryAgain, too_many: CLOSE.tooMany
}
const STATUSES: Partial<Record<Fault, string>> = {
  invalid: '400 Bad Request',
  unauthenticated: '401 Unauthorized',
  forbidden: '403 Forbidden',
  too_many: '429 Too Many Requests',
  unavailable: '503 Service Unavailable'
}

/** An error in the terms of this door; undefined: it is no error of ours to tell. */
export function toldError (error: unknown): { code: number, status: string, detail: string } | undefined {
  const told = findAppError(error)
  if (told === undefined) return undefined
  return {
    code: CODES[told.fault] ?? CLOSE.policy,
    status: STATUSES[told.fault] ?? '400 Bad Request',
    detail: told.message
  }
}

/** Answers an upgrade with a refusal, and closes. */
export function refuseUpgrade (socket: Duplex, status: string, detail: string): void {
  const body = `${detail}\n`
  socket.end([
    `HTTP/1.1 ${status}`,
    'connection: close',
    'content-type: text/plain; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    ...(status.startsWith('401') ? ['www-authenticate: Bearer'] : []),
    ...(status.startsWith('503') ? ['retry-after: 1'] : []),
    '', body
  ].join('\r\n'))
}
