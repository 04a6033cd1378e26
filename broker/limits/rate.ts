/**
 * How fast one user may publish, without losing anything: a token bucket per user.
 *
 * A publish takes a token. When the bucket is empty it waits for the next one, and
 * the broker reads no more from that connection meanwhile; the client feels a slow
 * network. All devices of a user share one bucket, in the order their publishes
 * came. A publish that would have to wait for longer than LONGEST_WAIT_S ends its
 * connection.
 */

/** A full bucket holds the tokens of so many seconds. */
const BURST_S = 3
/** More than the 1,700 smallest commands that fit into what Aedes reads at once, at the default rate. */
const LONGEST_WAIT_S = 60
const MS = 1_000

interface TokenBucket { tokens: number, refilledAt: number, waiting: Waiting[], timer?: NodeJS.Timeout }
interface Waiting { taker: Taker, go (): void }

/** A connection. Once it is closed, what waits for it takes no token from the others. */
interface Taker { readonly closed: boolean }

export interface RateLimitOptions {
  /** Tokens a bucket gets per second; 0: no limit. */
  perSecond: number
  now: () => number
  /** Called for each publish that has to wait for its token. */
  onWait?: () => void
}

export interface RateLimit extends Disposable {
  /**
   * Takes a token from the user's bucket. Undefined: there was one. Otherwise resolves when
   * one has come; rejects at once when that would take too long.
   */
  take (userId: string, taker: Taker): Promise<void> | undefined
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
      (next.taker.closed || bucket.tokens >= 1); next = bucket.waiting[0]) {
      bucket.waiting.shift()
      if (!next.taker.closed) bucket.tokens--
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
  }

  // A full bucket is the same as none.
  function schedule (userId: string, bucket: TokenBucket): void {
    if (bucket.timer !== undefined) return
    if (bucket.waiting.length === 0 && bucket.tokens >= capacity) {
      buckets.delete(userId)
      return
    }
    const missing = bucket.waiting.length > 0 ? 1 - bucket.tokens : capacity - bucket.tokens
    bucket.timer = setTimeout(() => serve(userId, bucket), Math.ceil(missing / perSecond * MS)).unref()
  }

  return {
    take (userId, taker) {
      if (perSecond === 0) return undefined
      let bucket = buckets.get(userId)
      if (bucket === undefined) {
        buckets.set(userId, bucket = { tokens: capacity, refilledAt: now(), waiting: [] })
      }
      refill(bucket)
      if (bucket.waiting.length === 0 && bucket.tokens >= 1) {
        bucket.tokens--
        schedule(userId, bucket)
        return undefined
      }
      onWait()
      if (bucket.waiting.length >= perSecond * LONGEST_WAIT_S) dropClosed(bucket)
      if (bucket.waiting.length >= perSecond * LONGEST_WAIT_S) {
        return Promise.reject(new Error('too many publishes of this user wait'))
      }
      const { waiting } = bucket
      if (waiting.length === 0) stopTimer(bucket) // it runs until the bucket is full, which is later
      const token = new Promise<void>(resolve => { waiting.push({ taker, go: resolve }) })
      schedule(userId, bucket)
      return token
    },
    users: () => buckets.size,
    [Symbol.dispose] () {
      for (const bucket of buckets.values()) stopTimer(bucket)
      buckets.clear()
    }
  }
}
