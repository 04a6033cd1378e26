/**
 * Tells people who share a direct conversation with a user that they came or went,
 * and stores when they were last seen. Both in sets; while the database is away,
 * the newest state of each user is kept.
 */
import { type Logger } from 'pino'
import { failureLevel } from '../../core/errors.ts'
import { type Database } from '../../store/database.ts'
import { presenceAudiences, saveLastSeen } from '../../store/people/presence.ts'
import { type Wakes } from '../deliver/wakes.ts'

const GATHER_MS = 20
const RETRY_MS = 1_000
const USERS_PER_QUERY = 500

export interface PresenceNotices {
  /** Times in milliseconds since 1970. */
  announce (userId: string, online: boolean, at: number): void
  seen (userId: string, at: number): void
  flush (): Promise<void>
}

export function createPresenceNotices ({ database, wakes, log }: {
  database: Database, wakes: Pick<Wakes, 'live'>, log: Logger
}): PresenceNotices {
  const seen = new Map<string, number>()
  const news = new Map<string, { online: boolean, at: number }>()
  let timer: NodeJS.Timeout | undefined
  let last: Promise<void> = Promise.resolve()

  function note (userId: string, at: number): void {
    seen.set(userId, Math.max(seen.get(userId) ?? 0, at))
  }

  function schedule (delayMs: number): void {
    timer ??= setTimeout(() => {
      timer = undefined
      flush().catch((error: unknown) => {
        log[failureLevel(error)](
          { err: error, waiting: seen.size + news.size }, 'presence could not be told and will be tried again'
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
    while (seen.size + news.size > 0) {
      await writeSeen(take(seen))
      await tell(take(news))
    }
  }

  async function writeSeen (batch: Array<[string, number]>): Promise<void> {
    if (batch.length === 0) return
    try {
      await saveLastSeen(database.autocommit, batch.map(([userId, at]) => ({ userId, at: new Date(at) })))
    } catch (error) {
      for (const [userId, at] of batch) note(userId, at)
      throw error
    }
  }

  async function tell (batch: Array<[string, { online: boolean, at: number }]>): Promise<void> {
    if (batch.length === 0) return
    try {
      const states = new Map(batch)
      for (const { user_id, others } of await presenceAudiences(database.autocommit, [...states.keys()])) {
        const { online, at } = states.get(user_id)!
        wakes.live(others, Buffer.from(JSON.stringify({
          type: 'presence', user_id, online, last_seen_at: new Date(at).toISOString()
        })))
      }
    } catch (error) {
      for (const [userId, state] of batch) if (!news.has(userId)) news.set(userId, state)
      throw error
    }
  }

  return {
    announce (userId, online, at) {
      note(userId, at)
      news.set(userId, { online, at })
      schedule(GATHER_MS)
    },
    seen (userId, at) {
      note(userId, at)
      schedule(GATHER_MS)
    },
    async flush () {
      clearTimeout(timer)
      timer = undefined
      await flush()
    }
  }
}

function take<V> (waiting: Map<string, V>): Array<[string, V]> {
  const batch = [...waiting].slice(0, USERS_PER_QUERY)
  for (const [userId] of batch) waiting.delete(userId)
  return batch
}
