/**
 * The connections of this broker by client id.
 *
 * Aedes asks for a client's stored subscriptions with nothing but the id, while
 * the connection is being made; `opening` is what it finds then. Of two
 * connections with one id the later one stays [MQTT-3.1.4-2]. Of more than
 * MAX_DEVICES connections of one user the one that has been idle for longest ends.
 */
import { type DeviceConnection } from './device-connection.ts'

export const MAX_DEVICES = 20

export class ConnectionRegistry {
  readonly #connections = new Map<string, DeviceConnection>()
  readonly #users = new Map<string, Set<DeviceConnection>>()

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

  closed (connection: DeviceConnection): void {
    this.#leave(connection)
    if (this.#connections.get(connection.clientId) === connection) {
      this.#connections.delete(connection.clientId)
    }
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
