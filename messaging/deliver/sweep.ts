/**
 * The sweep makes up for whatever a wake did not do.
 *
 * Every SWEEP_MS it compares the logs of the connected users with their pumps,
 * so a lost wake costs seconds, never an event. A log that ends before what was
 * sent of it is one that the database has lost the end of. While nothing is written, it
 * looks only at pumps that have something left to send. More often it looks at sessions
 * that have not acknowledged everything: after the grace period their user is due for a push,
 * after STALLED_MS they are disconnected, and so are feeds whose reader takes nothing.
 */
import { type Logger } from 'pino'
import { failureLevel } from '../../core/errors.ts'
import { type Database } from '../../store/database.ts'
import { quietMark } from '../../store/log/quiet.ts'
import { changedLogs } from '../../store/people/users.ts'
import { type Feeds } from './feeds.ts'
import { type Overdue } from './overdue.ts'
import { type Pump } from './pump.ts'
import { type TrackedSessions } from './tracked-sessions.ts'

const SWEEP_MS = 5_000
const STALLED_MS = 60_000
const USERS_PER_QUERY = 1_000
/** One sweep of so many looks at all pumps, whether or not anything was written. */
const FULL_SWEEP = 12
const MAX_WATCH_MS = 1_000
const MIN_WATCH_MS = 20

/** How much of a user's log was handed to their connections. */
interface SentTo { id: string, lowest: number, highest: number }

export function startSweep ({
  sessions, feeds, database, epoch, overdue, tooShort, graceMs, stalledMs = STALLED_MS, sweepMs = SWEEP_MS,
  log, now
}: {
  sessions: TrackedSessions
  feeds: Pick<Feeds, 'of' | 'all'>
  database: Database
  epoch: () => string
  overdue: Overdue
  /** A user's log ends before `sentSeq`, which was sent in that epoch. */
  tooShort (userId: string, sentSeq: number, epoch: string): void
  graceMs: number
  stalledMs?: number
  sweepMs?: number
  log: Logger
  now: () => number
}): AsyncDisposable {
  let sweeping: Promise<void> | undefined
  let sweeps = 0
  let swept: string | undefined // the mark of the last sweep

  async function sweep (): Promise<void> {
    const asked = epoch()
    const mark = await quietMark(database.autocommit)
    const quiet = mark !== undefined && mark === swept && sweeps % FULL_SWEEP !== 0
    await compare(asked, quiet ? isUneven : () => true)
    swept = mark
    sweeps++
  }

  async function compare (asked: string, concerned: (pump: Pump) => boolean): Promise<void> {
    const sent = sentIn(asked, concerned)
    const users = [...sent.values()]
    for (let i = 0; i < users.length; i += USERS_PER_QUERY) {
      const known = users.slice(i, i + USERS_PER_QUERY)
      for (const { id, inbox_seq } of await changedLogs(database.autocommit, known)) {
        const { highest } = sent.get(id)!
        if (inbox_seq < highest) tooShort(id, highest, asked)
        for (const pump of pumpsOf(id)) pump.learn(inbox_seq)
      }
    }
  }

  const pumpsOf = (userId: string): Pump[] =>
    [...sessions.of(userId), ...feeds.of(userId)].map(({ pump }) => pump)

  /** What was sent is not what it knows of. */
  const isUneven = ({ knownSeq, sentSeq }: Pump): boolean => knownSeq !== sentSeq

  // Not what they know of: a pump that has stopped short of that is pushed on. One of an earlier epoch is
  // about to be closed, and says nothing of this one.
  function sentIn (epoch: string, concerned: (pump: Pump) => boolean): Map<string, SentTo> {
    const sent = new Map<string, SentTo>()
    const note = (pump: Pump): void => {
      const { userId: id, sentSeq } = pump
      if (pump.epoch !== epoch || !concerned(pump)) return
      const known = sent.get(id)
      if (known === undefined) sent.set(id, { id, lowest: sentSeq, highest: sentSeq })
      else if (sentSeq < known.lowest) known.lowest = sentSeq
      else if (sentSeq > known.highest) known.highest = sentSeq
    }
    for (const { pump } of sessions.all()) note(pump)
    for (const { pump } of feeds.all()) note(pump)
    return sent
  }

  function watch (): void {
    for (const session of sessions.waiting()) {
      if (session.pump.takeOverdue(graceMs)) {
        overdue.add({ userId: session.userId, seq: session.pump.knownSeq, dueAt: new Date(now()) })
      }
      if (isStalled(session.pump)) session.disconnect(`it has not acknowledged anything for ${stalledMs} ms`)
    }
    for (const feed of feeds.all()) {
      if (isStalled(feed)) feed.disconnect(`it has taken nothing for ${stalledMs} ms`)
    }
  }

  const isStalled = ({ stalledSince }: { stalledSince: number | undefined }): boolean =>
    stalledSince !== undefined && performance.now() - stalledSince > stalledMs

  const sweepTimer = setInterval(() => {
    sweeping ??= sweep()
      .catch((error: unknown) => {
        log[failureLevel(error)]({ err: error }, 'the sweep could not read the inboxes')
      })
      .finally(() => { sweeping = undefined })
  }, sweepMs)
  const watchTimer =
    setInterval(watch, Math.min(MAX_WATCH_MS, Math.max(MIN_WATCH_MS, Math.min(graceMs, stalledMs) / 4)))

  return {
    async [Symbol.asyncDispose] () {
      clearInterval(sweepTimer)
      clearInterval(watchTimer)
      await sweeping
    }
  }
}
