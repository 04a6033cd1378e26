/**
 * Presence: who is online, and who is told.
 *
 * A user is online while any connection of theirs exists on any node, and for
 * offlineAfterMs longer: a phone that comes back by then was never away. This
 * node's entry in the cluster is kept as long, so an entry of any node says that
 * the user's people were told "online" and not yet "offline".
 *
 *   arriving   first connection here; to be entered and, if no entry was there, announced
 *   entered    this node's entry stands
 *   leaving    last connection gone; entered until the time is over
 *
 * Users are handled in sets: thousands that connect at once cost a few round trips.
 */
import { type Cluster } from '../cluster/cluster.ts'
import { type Connections } from '../deliver/connections.ts'
import { type PresenceNotices } from './presence-notices.ts'

const OFFLINE_AFTER_MS = 5_000
const GATHER_MS = 50
const RETRY_MS = 1_000
const USERS_PER_ROUND = 500

export interface Presence extends AsyncDisposable {
  /** The first connection of a user to this node came, or the last one went. */
  changed (userId: string, present: boolean): void
  /** Users of a node that is gone. */
  abandoned (userIds: string[]): void
  /** Users who were online here all the time, while other nodes had removed their entry. */
  reappeared (userIds: string[]): void
  /** Without the other nodes this is what the own one knows. */
  isOnline (userId: string): Promise<boolean>
  /** Users with an entry of this node. */
  entered (): string[]
}

export interface PresenceDeps {
  connections: Pick<Connections, 'has'>
  cluster: Pick<Cluster, 'arrived' | 'departed' | 'onlineElsewhere'>
  notices: PresenceNotices
  offlineAfterMs?: number
  /** The time that all nodes go by, in milliseconds since 1970. */
  now: () => number
}

export function startPresence (
  { connections, cluster, notices, offlineAfterMs = OFFLINE_AFTER_MS, now }: PresenceDeps
): Presence {
  const arriving = new Set<string>()
  const entered = new Set<string>()
  /** User → when they left, the earliest first. */
  const leaving = new Map<string, number>()
  let timer: NodeJS.Timeout | undefined
  let timerAt = 0
  let running: Promise<void> | undefined
  let closed = false

  function schedule (minimumMs = GATHER_MS): void {
    if (running !== undefined || closed) return
    const [firstLeft] = leaving.values()
    if (arriving.size === 0 && firstLeft === undefined) return
    const delayMs = Math.max(minimumMs, arriving.size > 0 ? 0 : firstLeft! + offlineAfterMs - now())
    const at = performance.now() + delayMs
    if (timer !== undefined && timerAt <= at) return
    clearTimeout(timer)
    timerAt = at
    timer = setTimeout(() => {
      timer = undefined
      running = round().then(certain => {
        running = undefined
        schedule(certain ? GATHER_MS : RETRY_MS)
      })
    }, delayMs)
  }

  /** False when the other nodes could not be asked about those who left. */
  async function round (): Promise<boolean> {
    await enter()
    return await takeLeave()
  }

  async function enter (): Promise<void> {
    const users = [...arriving].slice(0, USERS_PER_ROUND)
    if (users.length === 0) return
    for (const userId of users) {
      arriving.delete(userId)
      entered.add(userId)
    }
    const announced = await cluster.arrived(users)
    for (const userId of users) if (announced?.has(userId) !== true) notices.announce(userId, true, now())
  }

  async function takeLeave (): Promise<boolean> {
    const due: Array<[string, number]> = []
    for (const [userId, leftAt] of leaving) {
      if (leftAt + offlineAfterMs > now() || due.length === USERS_PER_ROUND) break
      due.push([userId, leftAt])
    }
    if (due.length === 0) return true
    for (const [userId] of due) {
      leaving.delete(userId)
      entered.delete(userId)
    }
    const elsewhere = await cluster.departed(due.map(([userId]) => userId))
    for (const [userId, leftAt] of due) {
      if (elsewhere === undefined) {
        if (!connections.has(userId) && !leaving.has(userId)) leaving.set(userId, leftAt)
      } else if (!elsewhere.has(userId)) {
        notices.announce(userId, false, leftAt)
      }
    }
    return elsewhere !== undefined
  }

  return {
    changed (userId, present) {
      leaving.delete(userId)
      if (!present) {
        leaving.set(userId, now())
        notices.seen(userId, now())
        schedule()
      } else if (!entered.has(userId)) {
        arriving.add(userId)
        schedule()
      }
    },
    abandoned (userIds) {
      for (const userId of userIds) {
        if (!connections.has(userId) && !leaving.has(userId)) leaving.set(userId, now())
      }
      schedule()
    },
    reappeared (userIds) {
      for (const userId of userIds) if (connections.has(userId)) notices.announce(userId, true, now())
    },
    async isOnline (userId) {
      if (entered.has(userId) || connections.has(userId)) return true
      return (await cluster.onlineElsewhere([userId]))?.has(userId) === true
    },
    entered: () => [...entered],
    async [Symbol.asyncDispose] () {
      closed = true
      clearTimeout(timer)
      await running
    }
  }
}
