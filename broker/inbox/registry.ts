/**
 * The sessions of this broker by client id.
 *
 * Aedes asks for a client's stored subscriptions with nothing but the id, while
 * the connection is being made; `opening` is what it finds then. Of two
 * connections with one id the later one stays [MQTT-3.1.4-2], and of more than
 * MAX_DEVICES connections of one user the one that has been idle for longest goes.
 */
import { type DeviceConnection } from './device-connection.ts'

export const MAX_DEVICES = 20

export class ConnectionRegistry {
  readonly #sessions = new Map<string, DeviceConnection>()
  readonly #users = new Map<string, Set<DeviceConnection>>()

  opening (session: DeviceConnection): void {
    const older = this.#sessions.get(session.clientId)
    this.#sessions.set(session.clientId, session)
    if (older !== undefined) this.#end(older, 'the device connected again')
    const own = this.#users.get(session.userId) ?? new Set()
    this.#users.set(session.userId, own)
    if (own.size >= MAX_DEVICES) {
      this.#end(longestIdle(own), `a user has at most ${MAX_DEVICES} connected devices`)
    }
    own.add(session)
  }

  // Counts no more from now on; its end is reported later.
  #end (session: DeviceConnection, reason: string): void {
    this.#leave(session)
    session.disconnect(reason)
  }

  #leave (session: DeviceConnection): void {
    const own = this.#users.get(session.userId)
    if (own?.delete(session) === true && own.size === 0) this.#users.delete(session.userId)
  }

  closed (session: DeviceConnection): void {
    this.#leave(session)
    if (this.#sessions.get(session.clientId) === session) this.#sessions.delete(session.clientId)
  }

  find (clientId: string): DeviceConnection | undefined {
    return this.#sessions.get(clientId)
  }

  all (): Iterable<DeviceConnection> {
    return this.#sessions.values()
  }

  get size (): number {
    return this.#sessions.size
  }
}

const longestIdle = (sessions: Iterable<DeviceConnection>): DeviceConnection =>
  [...sessions].reduce((idle, session) => session.activeAt < idle.activeAt ? session : idle)
