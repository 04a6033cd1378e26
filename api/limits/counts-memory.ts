/**
 * Counts for the rate limits of one process. Those counted least recently are forgotten first.
 *
 * The library's own store hands out the count it goes on counting with, and looks at it
 * a turn later: requests that come together are then all judged by the count of the last.
 */
import type rateLimit from '@fastify/rate-limit'
import { LRUCache } from 'lru-cache'
import { type Charge } from './allowances.ts'

interface Window { current: number, endsAt: number }
type Callback = (error: null, count: { current: number, ttl: number }) => void

/**
 * A window begins with its first count and lasts as long as the limit says. A key begins with the name of
 * its limit and a space; each limit has `maxKeys`.
 */
export function createMemoryCounts (maxKeys: number): rateLimit.FastifyRateLimitStore {
  const limits = new Map<string, LRUCache<string, Window>>()
  const windowsOf = (key: string): LRUCache<string, Window> => {
    const limit = key.slice(0, key.indexOf(' '))
    const known = limits.get(limit) ?? new LRUCache<string, Window>({ max: maxKeys })
    limits.set(limit, known)
    return known
  }
  const store = {
    incr (key: string, done: Callback, windowMs: number) {
      const windows = windowsOf(key)
      const now = performance.now()
      let window = windows.get(key)
      if (window === undefined || window.endsAt <= now) {
        windows.set(key, window = { current: 0, endsAt: now + windowMs })
      }
      done(null, { current: ++window.current, ttl: window.endsAt - now })
    },
    // Whoever counts under a key counts in one place.
    child: () => store
  }
  return store
}

/** Remembers of each key when its allowance is whole again. */
export function createMemoryCharge (maxKeys: number): Charge {
  const wholeAt = new LRUCache<string, number>({ max: maxKeys })
  return async (key, costMs, windowMs) => {
    const now = Math.trunc(performance.now()) // sums of fractions are not exact
    const whole = Math.max(now, wholeAt.get(key) ?? 0) + costMs
    const lateMs = Math.max(0, whole - now - windowMs)
    if (lateMs === 0) wholeAt.set(key, whole)
    return lateMs
  }
}
