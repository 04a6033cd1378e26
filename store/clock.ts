/**
 * The time as PostgreSQL tells it, for everything that is compared with what other processes have stored.
 *
 * Between two looks the monotonic clock of this process goes on, so neither a host whose clock is wrong
 * nor one whose clock is set while Echo runs makes a difference.
 */
import { type Logger } from 'pino'
import { type Database, type Statement } from './database.ts'

const LOOK_EVERY_MS = 10_000
/** The answer to a slower look may be old: the one before says more. */
const SLOW_LOOK_MS = 500

const TIME: Statement = {
  name: 'clock_time', text: 'select extract(epoch from clock_timestamp())::float8 * 1000 as at'
}

export interface Clock extends AsyncDisposable {
  /** Milliseconds since 1970. */
  now (): number
}

export async function startClock (
  { autocommit }: Pick<Database, 'autocommit'>, log: Logger
): Promise<Clock> {
  let aheadMs: number | undefined // of performance.now()
  let looking = false

  async function look (): Promise<void> {
    const askedAt = performance.now()
    const [time] = await autocommit.rows<{ at: number }>(TIME, [])
    const answeredAt = performance.now()
    if (aheadMs !== undefined && answeredAt - askedAt > SLOW_LOOK_MS) return
    aheadMs = time!.at - (askedAt + answeredAt) / 2
  }

  await look()
  const timer = setInterval(() => {
    if (looking) return
    looking = true
    look()
      .catch((error: unknown) => log.debug({ err: error }, 'the time could not be asked for'))
      .finally(() => { looking = false })
  }, LOOK_EVERY_MS).unref()
  return {
    now: () => Math.floor(performance.now() + aheadMs!),
    async [Symbol.asyncDispose] () { clearInterval(timer) }
  }
}
