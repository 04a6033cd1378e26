/** What a process needs before it can serve: waits for each, and says so. */
import { Redis } from 'ioredis'
import { type Logger } from 'pino'
import { AppError, findAppError } from './core/errors.ts'
import { type Database } from './store/database.ts'
import { readEpoch } from './store/meta.ts'

const FIRST_PAUSE_MS = 200
const LONGEST_PAUSE_MS = 3_000

/** Resolves when `probe` does. Throws what is no matter of waiting, and when `signal` ends the wait. */
export async function waitFor (
  name: string, probe: () => Promise<unknown>, { log, signal }: { log: Logger, signal?: AbortSignal }
): Promise<void> {
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    try {
      await probe()
      return
    } catch (error) {
      const away = findAppError(error)
      if (away?.transient !== true) throw error
      log.warn({
        reason: (away.cause as Error | undefined)?.message ?? away.message, again_in_ms: pauseMs
      }, `waiting for ${name}`)
    }
    signal?.throwIfAborted()
    await new Promise(resolve => setTimeout(resolve, pauseMs))
    signal?.throwIfAborted()
  }
}

export const probeDatabase = (database: Database) =>
  async (): Promise<void> => { await readEpoch(database.autocommit) }

export const probeRedis = (url: string) => async (): Promise<void> => {
  const redis = new Redis(url, {
    lazyConnect: true,
    maxRetriesPerRequest: 0,
    retryStrategy: () =>
      null,
    commandTimeout: 2_000,
    connectTimeout: 2_000
  })
  redis.on('error', () => {}) // connect() reports it
  try {
    await redis.connect()
    await redis.ping()
  } catch (error) {
    throw new AppError('unavailable', 'unavailable', 'Redis does not answer', { cause: error })
  } finally {
    redis.disconnect()
  }
}
