/**
 * Entries are written as one set, and one culprit among them fails no other: a set that
 * the database refuses, or that takes it too long, is tried in halves until the culprit stands alone.
 */
import { AppError, DatabaseSlow, overloaded } from '../core/errors.ts'

/** From the first failure on. Whoever waits for an entry has waited before, and is to be answered. */
const SPLIT_WITHIN_MS = 2_000

export interface Halves<T, R> {
  /** `piece`: it is part of a set that failed. */
  commit (batch: T[], piece: boolean): Promise<R[]>
  /** Hears of entries that could not be committed, before those behind them are tried. */
  failed? (batch: T[], error: Error): void
}

/**
 * Outcomes in order; an Error for each entry that could not be committed. An AppError fails all that are left
 * at once: what failed is more than an entry. Only `DatabaseSlow` may be the fault of one.
 */
export async function commitInHalves<T, R> (
  batch: T[], { commit, failed }: Halves<T, R>
): Promise<Array<R | Error>> {
  let until = Infinity
  let away: Error | undefined

  async function attempt (some: T[]): Promise<Array<R | Error>> {
    if (away !== undefined || performance.now() > until) {
      return fail(some, away ?? overloaded('the database takes too long'))
    }
    try {
      return await commit(some, until !== Infinity)
    } catch (error) {
      const cause = error instanceof Error ? error : new Error('the commit failed', { cause: error })
      if (error instanceof AppError && !(error instanceof DatabaseSlow)) away = cause
      if (some.length === 1 || away !== undefined) return fail(some, cause)
      until = Math.min(until, performance.now() + SPLIT_WITHIN_MS)
      const middle = some.length >> 1
      return [...await attempt(some.slice(0, middle)), ...await attempt(some.slice(middle))]
    }
  }

  function fail (some: T[], error: Error): Error[] {
    failed?.(some, error)
    return some.map(() => error)
  }

  return await attempt(batch)
}
