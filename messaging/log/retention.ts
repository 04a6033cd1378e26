/**
 * What is kept for 30 days: inbox events, and the cursors of devices that were
 * not seen. A device that comes back behind what is kept is told to take a new
 * snapshot; its push token stays.
 */
import { type Logger } from 'pino'
import { failureLevel } from '../../core/errors.ts'
import { type Database } from '../../store/database.ts'
import { expireDevices, expireEvents, lockExpiry, touchDevices } from '../../store/log/retention.ts'
import { type TrackedSessions } from '../deliver/tracked-sessions.ts'

const DAY_MS = 86_400_000
export const KEPT_MS = 30 * DAY_MS
const EVERY_MS = 3_600_000
const ROWS_PER_BATCH = 5_000
const PAUSE_MS = 50
const DEVICES_PER_STATEMENT = 1_000

export interface ExpiryDeps { database: Database, log: Logger, now: () => number, signal?: AbortSignal }

/**
 * Removes everything older than KEPT_MS; stops between batches when `signal` says so, or another process is
 * at it.
 */
export async function expire ({ database, now, signal }: ExpiryDeps): Promise<{
  events: number, devices: number
}> {
  const before = new Date(now() - KEPT_MS)
  const removed = { events: 0, devices: 0 }
  for (const [kind, remove] of [['events', expireEvents], ['devices', expireDevices]] as const) {
    for (let count = ROWS_PER_BATCH; count >= ROWS_PER_BATCH && signal?.aborted !== true;) {
      count = await database.transact(async tx =>
        await lockExpiry(tx) ? await remove(tx, before, ROWS_PER_BATCH) : 0)
      removed[kind] += count
      await new Promise(resolve => setTimeout(resolve, PAUSE_MS))
    }
  }
  return removed
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
    try {
      await touchConnected(deps, sessions)
      const removed = await expire({ ...deps, signal: stopping.signal })
      if (removed.events + removed.devices > 0) deps.log.info(removed, 'expired rows were removed')
    } catch (error) {
      deps.log[failureLevel(error)]({ err: error }, 'expired rows could not be removed and will be next time')
    }
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
