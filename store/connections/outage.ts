/**
 * An outage of the database is told twice: when it begins, and when it is over, with how long it was and
 * what failed meanwhile. Whoever could not do their work because of it tells so at debug (`failureLevel`).
 *
 * It begins when the database cannot be reached or does not answer. A connection that breaks is none, unless
 * others break for BROKEN_MS and nothing is answered in between: a proxy in front of a database that is gone
 * takes every connection and ends it. It is over with an answer when nothing has failed for QUIET_MS.
 */
import { type Logger } from 'pino'
import { type DatabaseAway } from '../../core/errors.ts'
import { isBrokenConnection } from '../database-errors.ts'

const QUIET_MS = 1_000
const BROKEN_MS = 1_000
/** Connections that were lost within this time are told of in one line. */
const COUNT_LOST_MS = 1_000

export interface Outage {
  /** `what` could not be done because of `error`. */
  failed (what: string, error: DatabaseAway): void
  answered (): void
  /** A connection broke that nobody was using. */
  lost (error: Error): void
  /** Since when the database is away (performance.now()). */
  since (): number | undefined
}

export function createOutage (log: Logger, now: () => number = () => performance.now()): Outage {
  let since: number | undefined
  let failedAt = -Infinity
  let brokenSince: number | undefined
  let lost = 0
  const failures = new Map<string, number>()

  return {
    failed (what, error) {
      failedAt = now()
      if (since === undefined && isBrokenConnection(error)) {
        brokenSince ??= failedAt
        if (failedAt - brokenSince < BROKEN_MS) return
      }
      failures.set(what, (failures.get(what) ?? 0) + 1)
      if (since !== undefined) return
      since = brokenSince ?? failedAt
      log.error(reasonOf(error.cause), 'the database is away')
    },
    answered () {
      brokenSince = undefined
      if (since === undefined || now() - failedAt < QUIET_MS) return
      log.warn(
        { away_ms: Math.round(now() - since), failed: Object.fromEntries(failures) }, 'the database is back'
      )
      since = undefined
      failures.clear()
    },
    lost (error) {
      if (lost++ > 0) return
      setTimeout(() => {
        log.warn({ ...reasonOf(error), connections: lost }, 'connections to the database were lost')
        lost = 0
      }, COUNT_LOST_MS).unref()
    },
    since: () => since
  }
}

// The driver hangs the whole connection on its errors, with every statement and its key.
function reasonOf (cause: unknown): { reason: string, code: string | undefined } {
  const { message, code } = cause as { message?: string, code?: string }
  return { reason: message ?? String(cause), code }
}
