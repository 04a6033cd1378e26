/**
 * The connections of this node, whatever they subscribed to: through them a user
 * is online, and they are what a revocation ends.
 */
import { type Identity } from '../core/identity.ts'

export interface Connection {
  readonly userId: string
  /** What its token says; changes when it sends a fresh one. */
  readonly identity: Pick<Identity, 'issuedAt'>
  disconnect (reason: string): void
}

export interface Connections {
  /** Returns the function that ends it. */
  add (connection: Connection): () => void
  has (userId: string): boolean
  of (userId: string): Iterable<Connection>
  /** How many users are connected. */
  users (): number
}

/** `changed` hears of a user's first connection and of the last one's end. */
export function createConnections (changed: (userId: string, present: boolean) => void): Connections {
  const byUser = new Map<string, Set<Connection>>()
  return {
    add (connection) {
      const { userId } = connection
      let own = byUser.get(userId)
      if (own === undefined) {
        byUser.set(userId, own = new Set())
        changed(userId, true)
      }
      own.add(connection)
      return () => {
        if (!own.delete(connection) || own.size > 0) return
        byUser.delete(userId)
        changed(userId, false)
      }
    },
    has: userId => byUser.has(userId),
    of: userId => byUser.get(userId) ?? [],
    users: () => byUser.size
  }
}
