/**
 * Counts for the rate limits in Redis, so that all api processes together hold one limit.
 *
 * No request waits for a Redis that is away: from the first failure on every count
 * fails at once, which means no limit, until Redis has answered a probe. So a
 * Redis that hangs costs the requests of that moment COMMAND_TIMEOUT_MS, once.
 */
import type rateLimit from '@fastify/rate-limit'
import { Redis, type Result } from 'ioredis'
import { type Logger } from 'pino'
import { type Charge } from './allowances.ts'

declare module 'ioredis' {
  // For clients that were given the scripts below.
  interface RedisCommander<Context> {
    echoCount (key: string, windowMs: number): Result<[current: number, ttl: number], Context>
    echoCharge (key: string, costMs: number, windowMs: number): Result<number, Context>
  }
}

const COMMAND_TIMEOUT_MS = 100
const PROBE_MS = 500
const LONGEST_RECONNECT_MS = 1_000
const PREFIX = 'echo:limit:'

/** A window begins with its first count and ends with its key. */
const COUNT = `
  local current = redis.call('incr', KEYS[1])
  if current == 1 then redis.call('pexpire', KEYS[1], ARGV[1]) end
  return {current, redis.call('pttl', KEYS[1])}`

/** The value is when the allowance is whole again, by Redis's clock; then the key goes. */
const CHARGE = `
  local time = redis.call('time')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local whole = math.max(now, tonumber(redis.call('get', KEYS[1]) or '0')) + ARGV[1]
  local late = whole - now - ARGV[2]
  if late > 0 then return late end
  redis.call('set', KEYS[1], whole, 'px', whole - now)
  return 0`

type Store = rateLimit.FastifyRateLimitStore
type Callback = (error: Error | null, count?: { current: number, ttl: number }) => void

export interface RedisCounts extends Disposable { store: Store, charge: Charge }

export function startRedisCounts (url: string, log: Logger): RedisCounts {
  const redis = new Redis(url, {
    commandTimeout: COMMAND_TIMEOUT_MS,
    enableOfflineQueue: false,
    enableAutoPipelining: true,
    maxRetriesPerRequest: 0,
    retryStrategy: attempt => Math.min(attempt * 100, LONGEST_RECONNECT_MS),
    scripts: {
      echoCount: { lua: COUNT, numberOfKeys: 1 }, echoCharge: { lua: CHARGE, numberOfKeys: 1 }
    }
  })
  const away = new Error('Redis is away')
  let answers = false
  let reported: 'connected' | 'away' = 'connected'
  let probing: NodeJS.Timeout | undefined
  let closed = false

  redis.on('error', () => {}) // `close` follows
  redis.on('close', doubt)
  redis.on('ready', doubt)

  // A timeout may also mean that this process is late: the probe tells.
  function doubt (): void {
    answers = false
    probe(0)
  }

  function probe (afterMs: number): void {
    if (closed) return
    probing ??= setTimeout(() => {
      redis.ping().then(answered, unanswered)
    }, afterMs).unref()
  }

  function answered (): void {
    probing = undefined
    answers = true
    if (reported === 'away') log.info('Redis is back: requests are limited again')
    reported = 'connected'
  }

  function unanswered (): void {
    probing = undefined
    probe(PROBE_MS)
    if (reported === 'connected' && !closed) log.warn('Redis is away: requests are not limited')
    reported = 'away'
  }

  const store: Store = {
    incr (key: string, done: Callback, windowMs: number) {
      if (!answers) return done(away)
      redis.echoCount(PREFIX + key, windowMs).then(
        ([current, ttl]) => done(null, { current, ttl }),
        (error: Error) => {
          doubt()
          done(error)
        }
      )
    },
    child: () => store
  }
  return {
    store,
    async charge (key, costMs, windowMs) {
      if (!answers) throw away
      try {
        return await redis.echoCharge(PREFIX + key, costMs, windowMs)
      } catch (error) {
        doubt()
        throw error
      }
    },
    [Symbol.dispose] () {
      closed = true
      clearTimeout(probing)
      redis.disconnect()
    }
  }
}
