/**
 * The tracked sessions of this node: one per device, with its pump.
 *
 * A session is what the push decision asks for: something that acknowledges.
 * Live copies and long polls listen to wakes but are no sessions.
 */
import { type Pump } from './pump.ts'

export interface Session {
  userId: string
  deviceId: string
  pump: Pump
  /** Ends the connection; the session's place in the log stays. */
  disconnect (reason: string): void
}

export interface Sessions {
  add (session: Session): void
  remove (session: Session): void
  has (userId: string): boolean
  of (userId: string): Iterable<Session>
  users (): string[]
  all (): Iterable<Session>
  count (): number
}

export function createSessions (): Sessions {
  const byUser = new Map<string, Set<Session>>()
  const everyone = new Set<Session>()
  return {
    add (session) {
      const own = byUser.get(session.userId) ?? new Set()
      byUser.set(session.userId, own.add(session))
      everyone.add(session)
    },
    remove (session) {
      const own = byUser.get(session.userId)
      own?.delete(session)
      if (own?.size === 0) byUser.delete(session.userId)
      everyone.delete(session)
    },
    has: userId => byUser.has(userId),
    of: userId => byUser.get(userId) ?? [],
    users: () => [...byUser.keys()],
    all: () => everyone,
    count: () => everyone.size
  }
}
