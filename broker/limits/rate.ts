/**
 * How fast one user may publish and subscribe, without losing anything: a token bucket per user.
 *
 * A publish takes a token, a SUBSCRIBE one for each of its filters. When the bucket is
 * empty the packet waits, and the broker reads no more from that connection meanwhile; the
 * client feels a slow network. All devices of a user share one bucket, in the order their
 * packets came. A packet that would have to wait for longer than LONGEST_WAIT_S ends its
 * connection.
 */

import { ClientFault } from '../connection-errors.ts'

/** A full bucket holds the tokens of so many seconds. */
export const BURST_S = 3
/** More than the 1,700 smallest commands that fit into what Aedes reads at once, at the default rate. */
const LONGEST_WAIT_S = 60
const MS = 1_000

interface TokenBucket {
  tokens: number
  refilledAt: number
  waiting: Waiting[]
  /** Tokens that those who wait will take. */
  owed: number
  timer?: NodeJS.Timeout
}
interface Waiting { taker: Taker, tokens: number, go (): void }

/** A connection. Once it is closed, what waits for it takes no token from the others. */
interface Taker { readonly closed: boolean }

export interface RateLimitOptions {
  /** Tokens a bucket gets per second; 0: no limit. */
  perSecond: number
  now: () => number
  /** Called for each packet that has to wait. */
  onWait?: () => void
}

export interface RateLimit extends Disposable {
  /**
   * Takes tokens from the user's bucket, never more than it can hold. Undefined: they were there.
   * Otherwise resolves when they have come; rejects at once when that would take too long.
   */
  take (userId: string, taker: Taker, tokens?: number): Promise<void> | undefined
  /** Users whose bucket is not full. */
  users (): number
}

export function startRateLimit ({ perSecond, now, onWait = () => {} }: RateLimitOptions): RateLimit {
  const capacity = perSecond * BURST_S
  const buckets = new Map<string, TokenBucket>()

  function refill (bucket: TokenBucket): void {
    const time = now()
    bucket.tokens = Math.min(capacity, bucket.tokens + (time - bucket.refilledAt) / MS * perSecond)
    bucket.refilledAt = time
  }

  function serve (userId: string, bucket: TokenBucket): void {
    bucket.timer = undefined
    refill(bucket)
    for (let next = bucket.waiting[0]; next !== undefined &&
      (next.taker.closed || bucket.tokens >= next.tokens); next = bucket.waiting[0]) {
      bucket.waiting.shift()
      bucket.owed -= next.tokens
      if (!next.taker.closed) bucket.tokens -= next.tokens
      next.go()
    }
    schedule(userId, bucket)
  }

  function stopTimer (bucket: TokenBucket): void {
    clearTimeout(bucket.timer)
    bucket.timer = undefined
  }

  // A device that lost its connection comes back and sends again what waits here for the closed one.
  function dropClosed (bucket: TokenBucket): void {
    for (const { taker, go } of bucket.waiting) if (taker.closed) go()
    bucket.waiting = bucket.waiting.filter(({ taker }) => !taker.closed)
    bucket.owed = bucket.waiting.reduce((sum, { tokens }) => sum + tokens, 0)
  }

  // A full bucket is the same as none.
  function schedule (userId: string, bucket: TokenBucket): void {
    if (bucket.timer !== undefined) return
    if (bucket.waiting.length === 0 && bucket.tokens >= capacity) {
      buckets.delete(userId)
      return
    }
    const missing = (bucket.waiting[0]?.tokens ?? capacity) - bucket.tokens
    bucket.timer = setTimeout(() => serve(userId, bucket), Math.ceil(missing / perSecond * MS)).unref()
  }

  return {
    take (userId, taker, tokens = 1) {
      if (perSecond === 0) return undefined
      let bucket = buckets.get(userId)
      if (bucket === undefined) {
        buckets.set(userId, bucket = { tokens: capacity, refilledAt: now(), waiting: [], owed: 0 })
      }
      refill(bucket)
      if (bucket.waiting.length === 0 && bucket.tokens >= tokens) {
        bucket.tokens -= tokens
        schedule(userId, bucket)
        return undefined
      }
      onWait()
      if (bucket.owed + tokens > perSecond * LONGEST_WAIT_S) dropClosed(bucket)
      if (bucket.owed + tokens > perSecond * LONGEST_WAIT_S) {
        return Promise.reject(new ClientFault('too many packets of this user wait'))
      }
      const { waiting } = bucket
      if (waiting.length === 0) stopTimer(bucket) // it runs until the bucket is full, which is later
      bucket.owed += tokens
      const taken = new Promise<void>(resolve => { waiting.push({ taker, tokens, go: resolve }) })
      schedule(userId, bucket)
      return taken
    },
    users: () => buckets.size,
    [Symbol.dispose] () {
      for (const bucket of buckets.values()) stopTimer(bucket)
      buckets.clear()
    }
  }
}
