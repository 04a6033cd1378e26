/**
 * The epoch of the inbox logs, and how a new one begins.
 *
 * A database that lost its newest commits (a standby that was behind took over, a backup was restored) gives
 * their numbers out again. Pumps and clients would take the new events for old ones. Two things give it away:
 * what this process committed last is not there when another server answers, and a log ends before what was
 * sent of it. Then a new epoch begins, for all processes: every device is disconnected, and told to take a
 * new snapshot when it comes back (resync.ts).
 */
import { type Logger } from 'pino'
import { failureLevel } from '../../core/errors.ts'
import { type Database } from '../../store/database.ts'
import { anyLost, type CommittedEvent } from '../../store/log/inbox.ts'
import { beginEpoch, readEpoch, type Epoch } from '../../store/meta.ts'

/** So soon every process knows of an epoch that another one began. */
const LOOK_EVERY_MS = 5_000
/** Batches commit side by side: the one that was answered last may not be the last in the log. */
const MAX_EVIDENCE = 16

export interface Epochs extends AsyncDisposable {
  current (): string
  /** When it began; undefined: it is the first one of the database. */
  since (): Date | undefined
  /** This process has committed the event. */
  committed (event: CommittedEvent): void
  /** So much of a user's log was sent in `epoch`, and the log seems to end before. */
  suspect (event: Omit<CommittedEvent, 'at'>, epoch: string): void
  onNew (listener: () => void): void
}

export async function startEpochs (
  { database, log, lookEveryMs = LOOK_EVERY_MS }: { database: Database, log: Logger, lookEveryMs?: number }
): Promise<Epochs> {
  const db = database.autocommit
  const listeners: Array<() => void> = []
  const evidence: CommittedEvent[] = []
  const suspects = new Map<string, Omit<CommittedEvent, 'at'>>() // one per user, for the next look
  let epoch = await readEpoch(db)
  let serverChanged = false
  let looking: Promise<void> | undefined
  let closed = false

  async function look (): Promise<void> {
    const asked = [...suspects.values()]
    const compare = serverChanged
    if ((asked.length > 0 || compare) && await anyLost(db, [...asked, ...(compare ? evidence : [])])) {
      await beginEpoch(db, epoch.id) // unless another process has begun it
    }
    for (const { userId } of asked) suspects.delete(userId)
    if (compare) serverChanged = false
    adopt(await readEpoch(db))
  }

  function adopt (found: Epoch): void {
    if (found.id === epoch.id) return
    epoch = found
    evidence.splice(0)
    suspects.clear()
    log.error({ epoch: epoch.id },
      'the database has lost its newest commits: a new epoch begins, and devices take new snapshots')
    for (const listener of listeners) listener()
  }

  // What could not be looked at is looked at again.
  function schedule (): void {
    if (closed) return
    looking ??= look()
      .catch((error: unknown) => { log[failureLevel(error)]({ err: error }, 'the epoch could not be read') })
      .finally(() => { looking = undefined })
  }

  database.onOtherServer(() => {
    log.warn('another database server answers: does it have everything?')
    serverChanged = true
    schedule()
  })
  const timer = setInterval(schedule, lookEveryMs)

  return {
    current: () => epoch.id,
    since: () => epoch.since,
    committed (event) {
      evidence.push(event)
      if (evidence.length > MAX_EVIDENCE) evidence.shift()
    },
    suspect (event, of) {
      if (of !== epoch.id) return
      suspects.set(event.userId, event)
      schedule()
    },
    onNew (listener) { listeners.push(listener) },
    async [Symbol.asyncDispose] () {
      closed = true
      clearInterval(timer)
      await looking
    }
  }
}
