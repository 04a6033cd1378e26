/** What errors of the driver and the server mean. */
import pg from 'pg'
import { AppError, DatabaseAway, DatabaseSlow } from '../core/errors.ts'

/** The server's own error behind whatever wraps it. */
export function databaseError (error: unknown): pg.DatabaseError | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof pg.DatabaseError) return cause
  }
  return undefined
}

export const violates = (error: unknown, constraint: string): boolean =>
  databaseError(error)?.constraint === constraint

// A deadlock, a serialization failure, and a transaction that the server ended because it was idle: nothing
// was committed, and the same may work now.
const REPEATABLE = new Set(['40001', '40P01', '25P03'])

export const isRepeatable = (error: unknown): boolean => REPEATABLE.has(databaseError(error)?.code ?? '')

// Cancelled for its statement_timeout, and for its lock_timeout.
const SLOW = new Set(['57014', '55P03'])

// 08: connection, 53: out of disk, memory or connections, 55000: takes no connections, 57P: being shut down
// or starting, 58: I/O error, 25006: read only, 25P03: the transaction was idle for too long.
const AWAY = /^(08|53|55000|57P|58|25006|25P03)/

// What the driver finds wrong with how it is to connect: waiting heals none of it, and it has no codes.
const MISCONFIGURED: Array<[RegExp, string]> = [
  [/^SASL: .*password must be/, 'the server asks for a password, and DATABASE_URL has none'],
  [/does not support SSL/, 'DATABASE_URL asks for TLS, which the server does not speak']
]

// What OpenSSL and Node find wrong with a certificate.
const DISTRUST = /CERT|UNABLE_TO_VERIFY_LEAF_SIGNATURE|INVALID_CA|HOSTNAME_MISMATCH/

/** Says what is wrong with DATABASE_URL. */
export class WrongDatabaseUrl extends Error {}

/** Undefined when it is none. */
export function wrongUrl (error: unknown): WrongDatabaseUrl | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof WrongDatabaseUrl) return cause
    const { message } = cause
    const found = MISCONFIGURED.find(([pattern]) => pattern.test(message))
    if (found !== undefined) return new WrongDatabaseUrl(found[1])
  }
  return undefined
}

/**
 * What else a start need not wait for. While Echo runs the database is away for as long as its certificate is
 * wrong, and everybody tries again.
 */
export function distrust (error: unknown): WrongDatabaseUrl | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const { message, code = '', syscall } = cause as NodeJS.ErrnoException
    if (DISTRUST.test(code)) {
      return new WrongDatabaseUrl(
        `DATABASE_URL: ${message} (the certificate of the server is not one that Node trusts: ` +
        'name its authority with sslrootcert, or in NODE_EXTRA_CA_CERTS)'
      )
    }
    // A file that the URL names.
    if (syscall === 'open') return new WrongDatabaseUrl(`DATABASE_URL: ${message}`)
  }
  return undefined
}

/**
 * Throws nothing: returns `DatabaseAway` and `DatabaseSlow` for what they describe, any other error of the
 * server as it is. Whatever the driver throws that is no answer at all means that the connection is gone.
 */
export function translated (error: unknown): unknown {
  if (error instanceof AppError) return error
  if (!(error instanceof pg.DatabaseError)) return wrongUrl(error) ?? new DatabaseAway(error)
  if (SLOW.has(error.code ?? '')) return new DatabaseSlow(error)
  return AWAY.test(error.code ?? '') ? new DatabaseAway(error) : error
}

const BROKEN = new Set(['57P01', '57P02', '25P03', 'ECONNRESET', 'EPIPE'])

/** Whether it is one connection that ended, which says nothing of the database. */
export function isBrokenConnection ({ cause }: DatabaseAway): boolean {
  const { code, message } = cause as { code?: string, message?: string }
  return code === undefined
    ? /terminated unexpectedly|connection error/.test(message ?? '')
    : BROKEN.has(code)
}
