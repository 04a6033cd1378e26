/**
 * What is kept for 30 days: inbox events, the times of receipts, and the cursors of devices that were
 * not seen. A device that comes back behind what is kept is told to take a new
 * snapshot; its push token stays.
 *
 * Each hour every job gets its time in one process, whatever became of the others. What it does not get
 * to, it goes on with in the next hour, also in another process.
 */
import { type Logger } from 'pino'
import { failureLevel } from '../../core/errors.ts'
import { type Database, type Executor } from '../../store/database.ts'
import {
  claimJob, expireDevices, expireEvents, expireMarks, savePosition, touchDevices, type ExpiryJob, type Piece,
  type PieceSize, type Position
} from '../../store/log/retention.ts'
import { type TrackedSessions } from '../deliver/tracked-sessions.ts'

const DAY_MS = 86_400_000
export const KEPT_MS = 30 * DAY_MS
const EVERY_MS = 3_600_000
/** The first process to look after so long begins a new walk. */
const BETWEEN_WALKS_MS = EVERY_MS * 0.9
/** Less than half of the hour for all jobs together. */
const JOB_MS = 8 * 60_000
/** Some 10 ms of one core when nothing is old, and some 100 ms when all is. */
const PIECE: PieceSize = { owners: 500, rows: 5_000 }
const PAUSE_MS = 20
const DEVICES_PER_STATEMENT = 1_000

export interface ExpiryDeps {
  database: Database
  log: Logger
  now: () => number
  signal?: AbortSignal
  piece?: PieceSize
  jobMs?: number
}

type Remove = (tx: Executor, before: Date, position: Position, size: PieceSize) => Promise<Piece>

const JOBS: Array<[ExpiryJob, Remove]> =
  [['events', expireEvents], ['marks', expireMarks], ['devices', expireDevices]]

/** How many rows each job removed. Never rejects: what failed is logged, and tried again the next time. */
export async function expire (deps: ExpiryDeps): Promise<Record<ExpiryJob, number>> {
  const removed = { events: 0, marks: 0, devices: 0 }
  for (const [job, remove] of JOBS) {
    await independently(deps, job, async () => {
      for await (const count of runJob(deps, job, remove)) removed[job] += count
    })
  }
  return removed
}

async function independently ({ log }: ExpiryDeps, job: string, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    log[failureLevel(error)]({ err: error, job }, 'what is old could not be removed and will be next time')
  }
}

/**
 * Walks on from where this job got to, until the end of its walk or of its time. Yields what each piece
 * removed.
 */
async function * runJob (
  { database, now, signal, piece: size = PIECE, jobMs = JOB_MS }: ExpiryDeps, job: ExpiryJob, remove: Remove
): AsyncGenerator<number> {
  const at = new Date(now())
  const before = new Date(at.getTime() - KEPT_MS)
  const notSince = new Date(at.getTime() - BETWEEN_WALKS_MS)
  const endsAt = performance.now() + jobMs
  do {
    const piece = await database.transact(async tx => {
      const position = await claimJob(tx, job, notSince)
      if (position === undefined) return undefined
      const { removed, next } = await remove(tx, before, position, size)
      // There may be more where something was removed.
      if (removed === 0) await savePosition(tx, job, next, at)
      return { removed, next }
    })
    if (piece === undefined) return
    yield piece.removed
    if (piece.removed === 0 && piece.next === undefined) return
    await new Promise(resolve => setTimeout(resolve, PAUSE_MS))
  } while (signal?.aborted !== true && performance.now() < endsAt)
}

/** Devices that are connected were seen today, whether or not anything came for them. */
export async function touchConnected (
  { database, now }: ExpiryDeps, sessions: TrackedSessions
): Promise<void> {
  const connected = [...sessions.all()]
  for (let i = 0; i < connected.length; i += DEVICES_PER_STATEMENT) {
    await touchDevices(database.autocommit, connected.slice(
      i, i + DEVICES_PER_STATEMENT
    ), new Date(now()), new Date(now() - DAY_MS))
  }
}

export function startExpiry (deps: Omit<ExpiryDeps, 'signal'>, sessions: TrackedSessions): AsyncDisposable {
  const stopping = new AbortController()
  let running: Promise<void> | undefined

  async function run (): Promise<void> {
    await independently(deps, 'touch', () => touchConnected(deps, sessions))
    const removed = await expire({ ...deps, signal: stopping.signal })
    if (Object.values(removed).some(count => count > 0)) deps.log.info(removed, 'expired rows were removed')
  }

  const timer = setInterval(() => { running ??= run().finally(() => { running = undefined }) }, EVERY_MS)
  return {
    async [Symbol.asyncDispose] () {
      clearInterval(timer)
      stopping.abort()
      await running
    }
  }
}
