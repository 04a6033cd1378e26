/**
 * Users who must be woken although they had a session: it did not acknowledge within the
 * grace period, it ended before it did, or its node is gone. What could not be written is
 * kept and tried again.
 *
 * A session that ended is judged once no node believes in it any more: a message that was
 * committed before is seen in the log then, and who commits a later one finds no session.
 */
import { type Logger } from 'pino'
import { failureLevel } from '../../core/errors.ts'
import { type Database } from '../../store/database.ts'
import { lockUsers } from '../../store/locks.ts'
import { inboxCounters } from '../../store/people/users.ts'
import { schedulePushes, type DuePush } from '../../store/push/due.ts'
import { requestRecovery } from '../../store/push/recovery.ts'

const FLUSH_AFTER_MS = 50
const RETRY_MS = 1_000
const MAX_PER_STATEMENT = 1_000

export interface EndedSession {
  userId: string
  /** What it has acknowledged, written or not. */
  ackedSeq: number
  /** The device is still there: it has opened another connection. */
  replaced: boolean
}

export interface Overdue {
  add (due: DuePush): void
  ended (session: EndedSession): void
  /** What the sessions of a node that is gone left unacknowledged becomes due, users by users. */
  nodeLost (): void
  flush (): Promise<void>
}

export interface OverdueDeps {
  database: Database
  /** Users of these who have a session on any node; must not reject. */
  findSessions (userIds: string[]): Promise<{ present: Set<string>, certain: boolean }>
  /** Resolves when other nodes can see which sessions have ended here. */
  sessionsTold (): Promise<void>
  graceMs: number
  now: () => number
  pushDue (): void
  log: Logger
}

export function createOverdue (
  { database, findSessions, sessionsTold, graceMs, now, pushDue, log }: OverdueDeps
): Overdue {
  const pending = new Map<string, DuePush>() // one per user: the newest event, the earliest time
  const ended = new Map<string, EndedSession>() // one per user: the furthest of several
  let recover = false
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

  function noteEnded (session: EndedSession): void {
    const { userId, ackedSeq, replaced } = session
    const known = ended.get(userId)
    ended.set(userId, known === undefined
      ? session
      : {
          userId,
          ackedSeq: Math.max(ackedSeq, known.ackedSeq),
          replaced: replaced || known.replaced
        })
  }

  function schedule (delayMs: number): void {
    timer ??= setTimeout(() => {
      timer = undefined
      flush().catch((error: unknown) => {
        log[failureLevel(error)](
          { err: error, waiting: pending.size + ended.size },
          'due pushes could not be written and will be tried again'
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
    if (recover) {
      await requestRecovery(database.autocommit, inGraceMs())
      recover = false
    }
    while (ended.size > 0) await inBatch(ended, judge, noteEnded)
    while (pending.size > 0) await inBatch(pending, store, note)
  }

  const inGraceMs = (): Date => new Date(now() + graceMs)

  async function judge (sessions: EndedSession[]): Promise<void> {
    await sessionsTold()
    const ackedSeqs = new Map(sessions.map(({ userId, ackedSeq }) => [userId, ackedSeq]))
    const behind = (await inboxCounters(database.autocommit, [...ackedSeqs.keys()]))
      .filter(({ id, inbox_seq, acked_seq }) => inbox_seq > Math.max(acked_seq, ackedSeqs.get(id)!))
    if (behind.length === 0) return
    // Another session, wherever it is, gets its time first, and so does a device that only changes over.
    const { present, certain } = await findSessions(behind.map(({ id }) => id))
    const replaced = new Set(sessions.filter(session => session.replaced).map(session => session.userId))
    for (const { id, inbox_seq } of behind) {
      const waits = !certain || present.has(id) || replaced.has(id)
      note({ userId: id, seq: inbox_seq, dueAt: waits ? inGraceMs() : new Date(now()) })
    }
  }

  async function store (due: DuePush[]): Promise<void> {
    // Under the users' locks: one who is acknowledging right now gets no row that nobody cancels.
    await database.transact(async tx => {
      await lockUsers(tx, due.map(({ userId }) => userId))
      await schedulePushes(tx, due)
    })
    pushDue()
  }

  return {
    add (due) {
      note(due)
      schedule(FLUSH_AFTER_MS)
    },
    ended (session) {
      noteEnded(session)
      schedule(FLUSH_AFTER_MS)
    },
    nodeLost () {
      recover = true
      schedule(0)
    },
    async flush () {
      clearTimeout(timer)
      timer = undefined
      await flush()
    }
  }
}

/** Takes some out and works on them; puts them back when that fails. */
async function inBatch<T extends { userId: string }> (
  waiting: Map<string, T>, work: (batch: T[]) => Promise<void>, putBack: (entry: T) => void
): Promise<void> {
  const batch = [...waiting.values()].slice(0, MAX_PER_STATEMENT)
  for (const { userId } of batch) waiting.delete(userId)
  try {
    await work(batch)
  } catch (error) {
    batch.forEach(putBack)
    throw error
  }
}
