/**
 * How fast one user may publish, without losing anything.
 *
 * What comes too fast waits its turn, and the broker reads no more from that
 * connection meanwhile; the client feels a slow network. A user has one queue
 * for all devices, in the order things came. What would have to wait for longer
 * than LONGEST_WAIT_S ends its connection.
 */

/** So many seconds' worth may come at once. */
const BURST_S = 3
/** More than the 1,700 smallest commands that fit into what Aedes reads at once, at the default rate. */
const LONGEST_WAIT_S = 60
const MS = 1_000

interface TokenBucket { tokens: number, at: number, waiting: Waiting[], timer: NodeJS.Timeout | undefined }
interface Waiting { owner: Owner, go (): void }

/** A connection; once it is closed, what waits for it takes nobody's turn. */
interface Owner { readonly closed: boolean }

export interface RateLimitOptions {
  /** 0: no limit. */
  perSecond: number
  now: () => number
  /** Hears of every one that does not have its turn at once. */
  onWait?: () => void
}

export interface RateLimit extends Disposable {
  /** Undefined: now. Otherwise resolves when it is this one's turn; rejects at once when that would take too long. */
  turn (userId: string, owner: Owner): Promise<void> | undefined
  /** Users who are remembered. */
  size (): number
}

export function limitRate ({ perSecond, now, onWait = () => {} }: RateLimitOptions): RateLimit {
  const burst = perSecond * BURST_S
  const users = new Map<string, TokenBucket>()

  function refill (bucket: TokenBucket): void {
    const time = now()
    bucket.tokens = Math.min(burst, bucket.tokens + (time - bucket.at) / MS * perSecond)
    bucket.at = time
  }

  function serve (userId: string, bucket: TokenBucket): void {
    bucket.timer = undefined
    refill(bucket)
    for (let next = bucket.waiting[0]; next !== undefined &&
      (next.owner.closed || bucket.tokens >= 1); next = bucket.waiting[0]) {
      bucket.waiting.shift()
      if (!next.owner.closed) bucket.tokens--
      next.go()
    }
    schedule(userId, bucket)
  }

  function stopTimer (bucket: TokenBucket): void {
    clearTimeout(bucket.timer)
    bucket.timer = undefined
  }

  // A device that lost its connection comes back with all it had sent: it must not wait for its former self.
  function freeClosed (bucket: TokenBucket): void {
    for (const { owner, go } of bucket.waiting) if (owner.closed) go()
    bucket.waiting = bucket.waiting.filter(({ owner }) => !owner.closed)
  }

  // A user is forgotten when nothing is left to remember: the next burst is whole again.
  function schedule (userId: string, bucket: TokenBucket): void {
    if (bucket.timer !== undefined) return
    if (bucket.waiting.length === 0 && bucket.tokens >= burst) {
      users.delete(userId)
      return
    }
    const missing = bucket.waiting.length > 0 ? 1 - bucket.tokens : burst - bucket.tokens
    bucket.timer = setTimeout(() => serve(userId, bucket), Math.ceil(missing / perSecond * MS)).unref()
  }

  return {
    turn (userId, owner) {
      if (perSecond === 0) return undefined
      let bucket = users.get(userId)
      if (bucket === undefined) {
        users.set(userId, bucket = { tokens: burst, at: now(), waiting: [], timer: undefined })
      }
      refill(bucket)
      if (bucket.waiting.length === 0 && bucket.tokens >= 1) {
        bucket.tokens--
        schedule(userId, bucket)
        return undefined
      }
      onWait()
      if (bucket.waiting.length >= perSecond * LONGEST_WAIT_S) freeClosed(bucket)
      if (bucket.waiting.length >= perSecond * LONGEST_WAIT_S) {
        return Promise.reject(new Error('too many publishes wait for their turn'))
      }
      const { waiting } = bucket
      if (waiting.length === 0) stopTimer(bucket) // it was for a full burst, which is later
      const turn = new Promise<void>(resolve => { waiting.push({ owner, go: resolve }) })
      schedule(userId, bucket)
      return turn
    },
    size: () => users.size,
    [Symbol.dispose] () {
      for (const bucket of users.values()) stopTimer(bucket)
      users.clear()
    }
  }
}
