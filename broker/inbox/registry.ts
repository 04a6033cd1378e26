/**
 * The connections of this broker by client id.
 *
 * Aedes asks for a client's stored subscriptions with nothing but the id, while
 * the connection is being made; `opening` is what it finds then. Of two
 * connections with one id the later one stays [MQTT-3.1.4-2]. Of more than
 * MAX_DEVICES connections of one user the one that has been idle for longest ends.
 *
 * Of sessions whose connection has ended it remembers what the next one needs: up to
 * where events were sent, so that only what is sent again says so [MQTT-3.3.1-1].
 */
import { LRUCache } from 'lru-cache'
import { type ConnectionsBefore, type DeviceConnection } from './device-connection.ts'

export const MAX_DEVICES = 20
/** Sessions without a connection of which it is known up to where they were sent events. */
const MAX_REMEMBERED = 20_000

export class ConnectionRegistry {
  readonly #connections = new Map<string, DeviceConnection>()
  readonly #users = new Map<string, Set<DeviceConnection>>()
  readonly #sentSeqs = new LRUCache<string, number>({ max: MAX_REMEMBERED })
  /** Sessions that are being stored at the end of their connection. */
  readonly #keeping = new Map<string, Promise<void>>()

  opening (connection: DeviceConnection): void {
    const older = this.#connections.get(connection.clientId)
    this.#connections.set(connection.clientId, connection)
    if (older !== undefined) this.replace(older, 'the device connected again')
    const own = this.#users.get(connection.userId) ?? new Set()
    this.#users.set(connection.userId, own)
    if (own.size >= MAX_DEVICES) {
      this.#end(longestIdle(own), `a user has at most ${MAX_DEVICES} connected devices`)
    }
    own.add(connection)
  }

  /** The device has another connection, here or elsewhere. */
  replace (connection: DeviceConnection, reason: string): void {
    connection.replaced = true
    this.#end(connection, reason)
  }

  // It no longer counts; `closed` follows when its socket is closed.
  #end (connection: DeviceConnection, reason: string): void {
    this.#leave(connection)
    connection.disconnect(reason)
  }

  #leave (connection: DeviceConnection): void {
    const own = this.#users.get(connection.userId)
    if (own?.delete(connection) === true && own.size === 0) this.#users.delete(connection.userId)
  }

  /** What is known of the session's connections so far. */
  before (clientId: string): ConnectionsBefore {
    const older = this.#connections.get(clientId)
    const stored = older?.clean === false ? older : undefined
    return {
      open: stored !== undefined,
      sentSeq: stored === undefined ? this.#sentSeqs.get(clientId) : stored.ownTopics.sentSeq
    }
  }

  /** Resolves when what ended connections leave of the session, or of all sessions, is stored. */
  async kept (clientId?: string): Promise<void> {
    await (clientId === undefined ? Promise.all(this.#keeping.values()) : this.#keeping.get(clientId))
  }

  closed (connection: DeviceConnection): void {
    this.#leave(connection)
    this.#remember(connection)
    if (this.#connections.get(connection.clientId) === connection) {
      this.#connections.delete(connection.clientId)
    }
  }

  #remember ({ clientId, clean, ownTopics: { sentSeq }, kept }: DeviceConnection): void {
    if (clean) return
    const known = this.#sentSeqs.get(clientId) ?? 0
    if (sentSeq !== undefined) this.#sentSeqs.set(clientId, Math.max(sentSeq, known))
    if (kept === undefined) return
    this.#keeping.set(clientId, kept)
    const forget = (): void => {
      if (this.#keeping.get(clientId) === kept) this.#keeping.delete(clientId)
    }
    kept.then(forget, forget)
  }

  find (clientId: string): DeviceConnection | undefined {
    return this.#connections.get(clientId)
  }

  all (): Iterable<DeviceConnection> {
    return this.#connections.values()
  }

  get size (): number {
    return this.#connections.size
  }
}

const longestIdle = (connections: Iterable<DeviceConnection>): DeviceConnection =>
  [...connections].reduce((idle, connection) => connection.activeAt < idle.activeAt ? connection : idle)
