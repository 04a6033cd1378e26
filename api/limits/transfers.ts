/**
 * Uploads or downloads under way: how many one user and all users together may
 * have, and how those that outlast a stop of the server are ended.
 */
import { AppError, unavailable } from '../../core/errors.ts'

export interface Transfers {
  /**
   * Takes a place until it is disposed of. Throws `too_many` beyond the user's share, `unavailable` when all
   * places are taken.
   */
  enter (userId: string, abort: () => void): Disposable
  /** Aborts what is under way, and refuses all that comes later. */
  end (): void
}

export function createTransfers (
  what: string, { perUser, inAll }: { perUser: number, inAll: number }
): Transfers {
  const byUser = new Map<string, number>()
  const running = new Set<() => void>()
  let stopped = false

  return {
    enter (userId, abort) {
      const own = byUser.get(userId) ?? 0
      if (own >= perUser) {
        throw new AppError(
          'too_many', `too_many_${what}`,
        `you have ${perUser} ${what} under way, which is all you may have at once`
        )
      }
      if (stopped || running.size >= inAll) throw unavailable(`there is no room for more ${what}`)
      const end = (): void => abort() // a function of its own: the set counts each entry once
      running.add(end)
      byUser.set(userId, own + 1)
      return {
        [Symbol.dispose] () {
          if (!running.delete(end)) return
          const left = byUser.get(userId)! - 1
          if (left === 0) byUser.delete(userId)
          else byUser.set(userId, left)
        }
      }
    },
    end () {
      stopped = true
      for (const abort of running) abort()
    }
  }
}
