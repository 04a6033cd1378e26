/**
 * Users who must be woken although they had a session: it did not acknowledge within the
 * grace period, or it ended before it did. Their rows are written in sets; rows that could
 * not be written are kept and tried again.
 */
import { type Logger } from 'pino'
import { failureLevel } from '../../core/errors.ts'
import { type Database } from '../../store/database.ts'
import { lockUsers } from '../../store/locks.ts'
import { schedulePushes, type DuePush } from '../../store/push/due.ts'

const FLUSH_AFTER_MS = 50
const RETRY_MS = 1_000
const MAX_PER_STATEMENT = 1_000

export interface Overdue {
  add (due: DuePush): void
  flush (): Promise<void>
}

export function createOverdue ({ database, pushDue, log }: {
  database: Database, pushDue: () => void, log: Logger
}): Overdue {
  const pending = new Map<string, DuePush>() // one per user: the newest event, the earliest time
  let timer: NodeJS.Timeout | undefined
  let last: Promise<void> = Promise.resolve()

  function note (due: DuePush): void {
    const known = pending.get(due.userId)
    pending.set(due.userId, known === undefined
      ? due
      : {
          userId: due.userId,
          seq: Math.max(known.seq, due.seq),
          dueAt: known.dueAt < due.dueAt
            ? known.dueAt
            : due.dueAt
        })
  }

  function schedule (delayMs: number): void {
    timer ??= setTimeout(() => {
      timer = undefined
      flush().catch((error: unknown) => {
        log[failureLevel(error)](
          { err: error, waiting: pending.size }, 'due pushes could not be written and will be tried again'
        )
        schedule(RETRY_MS)
      })
    }, delayMs)
  }

  function flush (): Promise<void> {
    const flushed = last.then(write)
    last = flushed.catch(() => {})
    return flushed
  }

  async function write (): Promise<void> {
    while (pending.size > 0) {
      const batch = [...pending.values()].slice(0, MAX_PER_STATEMENT)
      for (const due of batch) pending.delete(due.userId)
      try {
        // Under the users' locks: one who is acknowledging right now gets no row that nobody cancels.
        await database.transact(async tx => {
          await lockUsers(tx, batch.map(due => due.userId))
          await schedulePushes(tx, batch)
        })
        pushDue()
      } catch (error) {
        batch.forEach(note)
        throw error
      }
    }
  }

  return {
    add (due) {
      note(due)
      schedule(FLUSH_AFTER_MS)
    },
    async flush () {
      clearTimeout(timer)
      timer = undefined
      await flush()
    }
  }
}
