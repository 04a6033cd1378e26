/**
 * The tracked sessions of this node: one per device, with its pump.
 *
 * A session is what the push decision asks for: something that acknowledges.
 * Live copies and long polls listen to wakes but are no sessions.
 */
import { type Pump } from './pump.ts'

export interface TrackedSession {
  userId: string
  deviceId: string
  pump: Pump
  /** Whether it is among those that are watched. */
  watched: boolean
  /** Ends the connection; the session's place in the log stays. */
  disconnect (reason: string): void
}

export interface TrackedSessions {
  add (session: TrackedSession): void
  remove (session: TrackedSession): void
  /** Its pump waits. A session that is idle costs the sweep nothing. */
  watch (session: TrackedSession): void
  /** Those whose pumps wait. */
  waiting (): readonly TrackedSession[]
  has (userId: string): boolean
  of (userId: string): Iterable<TrackedSession>
  users (): string[]
  all (): Iterable<TrackedSession>
  count (): number
}

/** `changed` hears of a user's first session and of the last one's end. */
export function createTrackedSessions (changed: (
  userId: string, present: boolean
) => void = () => {}): TrackedSessions {
  const byUser = new Map<string, Set<TrackedSession>>()
  const everyone = new Set<TrackedSession>()
  let watched: TrackedSession[] = []
  return {
    add (session) {
      everyone.add(session)
      const own = byUser.get(session.userId)
      if (own === undefined) {
        byUser.set(session.userId, new Set([session]))
        changed(session.userId, true)
      } else {
        own.add(session)
      }
    },
    remove (session) {
      const own = byUser.get(session.userId)
      everyone.delete(session)
      if (own?.delete(session) !== true || own.size > 0) return
      byUser.delete(session.userId)
      changed(session.userId, false)
    },
    watch (session) {
      if (session.watched) return
      session.watched = true
      watched.push(session)
    },
    waiting () {
      watched = watched.filter(session => {
        session.watched = session.pump.isWaiting && everyone.has(session)
        return session.watched
      })
      return watched
    },
    has: userId => byUser.has(userId),
    of: userId => byUser.get(userId) ?? [],
    users: () => [...byUser.keys()],
    all: () => everyone,
    count: () => everyone.size
  }
}
