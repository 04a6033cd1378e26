/**
 * Entries are written as one set, and one culprit among them fails no other: a set that
 * the database refuses is tried in halves until the culprit stands alone.
 */
import { AppError } from '../core/errors.ts'

/**
 * Outcomes in order; an Error for each entry that could not be committed. An AppError (the database is away)
 * fails all at once.
 */
export async function commitInHalves<T, R> (
  batch: T[], commit: (batch: T[]) => Promise<R[]>
): Promise<Array<R | Error>> {
  try {
    return await commit(batch)
  } catch (error) {
    if (batch.length === 1 || error instanceof AppError) {
      return batch.map(() =>
        error instanceof Error ? error : new Error('the commit failed', { cause: error }))
    }
    const middle = batch.length >> 1
    return [
      ...await commitInHalves(batch.slice(0, middle), commit),
      ...await commitInHalves(batch.slice(middle), commit)
    ]
  }
}
