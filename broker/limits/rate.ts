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

interface Turns { tokens: number, at: number, waiting: Waiting[], timer: NodeJS.Timeout | undefined }
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
  const users = new Map<string, Turns>()

  function refill (turns: Turns): void {
    const time = now()
    turns.tokens = Math.min(burst, turns.tokens + (time - turns.at) / MS * perSecond)
    turns.at = time
  }

  function serve (userId: string, turns: Turns): void {
    turns.timer = undefined
    refill(turns)
    for (let next = turns.waiting[0]; next !== undefined && (next.owner.closed || turns.tokens >= 1); next = turns.waiting[0]) {
      turns.waiting.shift()
      if (!next.owner.closed) turns.tokens--
      next.go()
    }
    schedule(userId, turns)
  }

  function stopTimer (turns: Turns): void {
    clearTimeout(turns.timer)
    turns.timer = undefined
  }

  // A device that lost its connection comes back with all it had sent: it must not wait for its former self.
  function freeClosed (turns: Turns): void {
    for (const { owner, go } of turns.waiting) if (owner.closed) go()
    turns.waiting = turns.waiting.filter(({ owner }) => !owner.closed)
  }

  // A user is forgotten when nothing is left to remember: the next burst is whole again.
  function schedule (userId: string, turns: Turns): void {
    if (turns.timer !== undefined) return
    if (turns.waiting.length === 0 && turns.tokens >= burst) {
      users.delete(userId)
      return
    }
    const missing = turns.waiting.length > 0 ? 1 - turns.tokens : burst - turns.tokens
    turns.timer = setTimeout(() => serve(userId, turns), Math.ceil(missing / perSecond * MS)).unref()
  }

  return {
    turn (userId, owner) {
      if (perSecond === 0) return undefined
      let turns = users.get(userId)
      if (turns === undefined) users.set(userId, turns = { tokens: burst, at: now(), waiting: [], timer: undefined })
      refill(turns)
      if (turns.waiting.length === 0 && turns.tokens >= 1) {
        turns.tokens--
        schedule(userId, turns)
        return undefined
      }
      onWait()
      if (turns.waiting.length >= perSecond * LONGEST_WAIT_S) freeClosed(turns)
      if (turns.waiting.length >= perSecond * LONGEST_WAIT_S) return Promise.reject(new Error('too many publishes wait for their turn'))
      const { waiting } = turns
      if (waiting.length === 0) stopTimer(turns) // it was for a full burst, which is later
      const turn = new Promise<void>(resolve => { waiting.push({ owner, go: resolve }) })
      schedule(userId, turns)
      return turn
    },
    size: () => users.size,
    [Symbol.dispose] () {
      for (const turns of users.values()) stopTimer(turns)
      users.clear()
    }
  }
}
