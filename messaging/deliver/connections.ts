/**
 * The connections of this node, whatever they subscribed to: through them a user
 * is online, and they are what a revocation and the end of a token end.
 */
import { type Identity } from '../../core/identity.ts'

/** Through which door devices and streams are connected. */
export type LiveDoor = 'mqtt' | 'websocket' | 'grpc' | 'sse'

/** A connection as an administrator sees it. Times are milliseconds since 1970. */
export interface ConnectionState {
  door: LiveDoor
  device_id: string
  /** `tracked` acknowledges, `live` only looks on, `none` has not subscribed to its inbox. */
  delivery: 'tracked' | 'live' | 'none'
  clean_session: boolean
  address: string | null
  connected_at: number
  last_active_at: number
  /** Events it was sent and has not acknowledged. */
  unacknowledged: number
  /** Events between what it has acknowledged and the end of the log. */
  lag: number
  token_expires_at: number
}

/** Why a connection is ended, where its door has a code for it. */
export type EndCause = 'token' | 'replaced' | 'too_many' | 'slow'

export interface Connection {
  readonly userId: string
  readonly deviceId: string
  /** What its token says; changes when it sends a fresh one. */
  readonly identity: Pick<Identity, 'issuedAt' | 'expiresAt'>
  disconnect (reason: string, cause?: EndCause): void
  state (): ConnectionState
}

export interface Connections {
  /** Returns the function that ends it. */
  add (connection: Connection): () => void
  has (userId: string): boolean
  of (userId: string): Iterable<Connection>
  all (): Iterable<Connection>
  /** How many users are connected. */
  users (): number
  count (): number
}

/** `changed` hears of a user's first connection and of the last one's end. */
export function createConnections (changed: (userId: string, present: boolean) => void): Connections {
  const byUser = new Map<string, Set<Connection>>()
  const everyone = new Set<Connection>()
  return {
    add (connection) {
      const { userId } = connection
      let own = byUser.get(userId)
      if (own === undefined) {
        byUser.set(userId, own = new Set())
        changed(userId, true)
      }
      own.add(connection)
      everyone.add(connection)
      return () => {
        if (!own.delete(connection)) return
        everyone.delete(connection)
        if (own.size > 0) return
        byUser.delete(userId)
        changed(userId, false)
      }
    },
    has: userId => byUser.has(userId),
    of: userId => byUser.get(userId) ?? [],
    all: () => everyone,
    users: () => byUser.size,
    count: () => everyone.size
  }
}
