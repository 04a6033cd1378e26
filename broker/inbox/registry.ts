/**
 * The connections of this broker by user and device, over MQTT and over JSON WebSocket.
 *
 * Aedes asks for a client's stored subscriptions with nothing but the id, while
 * the connection is being made; `opening` is what it finds then. Of two
 * connections with one id the later one stays [MQTT-3.1.4-2], whatever their doors. Of more than
 * MAX_DEVICES connections of one user the one that has been idle for longest ends.
 *
 * Of MQTT sessions whose connection has ended it remembers what the next one needs: up to
 * where events were sent, so that only what is sent again says so [MQTT-3.3.1-1].
 */
import { LRUCache } from 'lru-cache'
import { type Connection, type EndCause } from '../../messaging/deliver/connections.ts'

export const MAX_DEVICES = 20
/** Sessions without a connection of which it is known up to where they were sent events. */
const MAX_REMEMBERED = 20_000

export interface RegisteredConnection extends Connection {
  /** User and device. */
  readonly clientId: string
  /** Above that of every earlier connection of the device, on any node. */
  readonly lease: number
  /** When the device last sent something (milliseconds since 1970). */
  readonly activeAt: number
  /** The device has opened another connection. */
  replaced: boolean
  /** The stored MQTT session, with the last event it was sent (undefined: not known); undefined: none. */
  readonly mqttSession: { readonly sentSeq: number | undefined } | undefined
  /** Set at its end: resolves when its session is stored. */
  readonly kept?: Promise<void> | undefined
  /** Ends delivery; the socket may be closed already. */
  close (): void
  onClose (listener: () => void): void
}

/** What is known of a session's connections so far. */
export interface ConnectionsBefore {
  /** One of them is still there, and its session may not be stored yet. */
  open: boolean
  /** The last event that was sent to the session; undefined: not known here. */
  sentSeq: number | undefined
}

export class ConnectionRegistry {
  readonly #connections = new Map<string, RegisteredConnection>()
  readonly #users = new Map<string, Set<RegisteredConnection>>()
  readonly #sentSeqs = new LRUCache<string, number>({ max: MAX_REMEMBERED })
  /** Sessions that are being stored at the end of their connection. */
  readonly #keeping = new Map<string, Promise<void>>()

  opening (connection: RegisteredConnection): void {
    const older = this.#connections.get(connection.clientId)
    this.#connections.set(connection.clientId, connection)
    if (older !== undefined) this.replace(older, 'the device connected again')
    const own = this.#users.get(connection.userId) ?? new Set()
    this.#users.set(connection.userId, own)
    if (own.size >= MAX_DEVICES) {
      this.#end(longestIdle(own), `a user has at most ${MAX_DEVICES} connected devices`, 'too_many')
    }
    own.add(connection)
  }

  /** The device has another connection, here or elsewhere. */
  replace (connection: RegisteredConnection, reason: string): void {
    connection.replaced = true
    this.#end(connection, reason, 'replaced')
  }

  // It no longer counts; `closed` follows when its socket is closed.
  #end (connection: RegisteredConnection, reason: string, cause: EndCause): void {
    this.#leave(connection)
    connection.disconnect(reason, cause)
  }

  #leave (connection: RegisteredConnection): void {
    const own = this.#users.get(connection.userId)
    if (own?.delete(connection) === true && own.size === 0) this.#users.delete(connection.userId)
  }

  before (clientId: string): ConnectionsBefore {
    const session = this.#connections.get(clientId)?.mqttSession
    return {
      open: session !== undefined,
      sentSeq: session === undefined ? this.#sentSeqs.get(clientId) : session.sentSeq
    }
  }

  /** Resolves when what ended connections leave of the session, or of all sessions, is stored. */
  async kept (clientId?: string): Promise<void> {
    await (clientId === undefined ? Promise.all(this.#keeping.values()) : this.#keeping.get(clientId))
  }

  closed (connection: RegisteredConnection): void {
    this.#leave(connection)
    this.#remember(connection)
    if (this.#connections.get(connection.clientId) === connection) {
      this.#connections.delete(connection.clientId)
    }
  }

  #remember ({ clientId, mqttSession, kept }: RegisteredConnection): void {
    if (mqttSession === undefined) return
    const { sentSeq } = mqttSession
    const known = this.#sentSeqs.get(clientId) ?? 0
    if (sentSeq !== undefined) this.#sentSeqs.set(clientId, Math.max(sentSeq, known))
    if (kept === undefined) return
    this.#keeping.set(clientId, kept)
    const forget = (): void => {
      if (this.#keeping.get(clientId) === kept) this.#keeping.delete(clientId)
    }
    kept.then(forget, forget)
  }

  find (clientId: string): RegisteredConnection | undefined {
    return this.#connections.get(clientId)
  }

  all (): Iterable<RegisteredConnection> {
    return this.#connections.values()
  }

  get size (): number {
    return this.#connections.size
  }
}

const longestIdle = (connections: Iterable<RegisteredConnection>): RegisteredConnection =>
  [...connections].reduce((idle, connection) => connection.activeAt < idle.activeAt ? connection : idle)
