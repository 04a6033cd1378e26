/**
 * Long polls: requests that wait for news in their user's inbox.
 *
 * A poll listens before its caller reads, so no wake falls between the read and
 * the wait. It ends when its time is up, when the client goes, and when the
 * server stops. A user has MAX_POLLS_PER_USER at most: one more ends the oldest.
 */
import { type Socket } from 'node:net'
import { type Wakes } from '../messaging/deliver/wakes.ts'

const MAX_POLLS_PER_USER = 16

export interface Poll extends Disposable {
  /** True when there may be news since the last call; false when the poll has ended. */
  news (): Promise<boolean>
}

export interface LongPolls {
  open (userId: string, waitMs: number, socket: Socket): Poll
  /** Ends all polls, and those opened later at once. */
  end (): void
}

export function createLongPolls (wakes: Pick<Wakes, 'listen'>): LongPolls {
  const byUser = new Map<string, Set<() => void>>()
  let stopped = false

  function open (userId: string, waitMs: number, socket: Socket): Poll {
    let fresh = false
    let ended = stopped || socket.destroyed
    let notify: (() => void) | undefined
    const own = byUser.get(userId) ?? new Set()

    const wake = (): void => { fresh = true; notify?.() }
    const end = (): void => { ended = true; notify?.() }
    const stopListening = wakes.listen(userId, { wake })
    const timer = setTimeout(end, waitMs)
    socket.once('close', end)
    byUser.set(userId, own.add(end))
    if (own.size > MAX_POLLS_PER_USER) endOldest(own)

    return {
      async news () {
        if (!fresh && !ended) await new Promise<void>(resolve => { notify = resolve })
        notify = undefined
        const told = fresh
        fresh = false
        return told
      },
      [Symbol.dispose] () {
        stopListening()
        clearTimeout(timer)
        socket.off('close', end)
        own.delete(end)
        if (own.size === 0 && byUser.get(userId) === own) byUser.delete(userId)
      }
    }
  }

  return {
    open,
    end () {
      stopped = true
      for (const own of byUser.values()) for (const end of own) end()
    }
  }
}

function endOldest (polls: Set<() => void>): void {
  const [oldest] = polls
  oldest!()
  polls.delete(oldest!)
}
