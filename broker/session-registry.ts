/**
 * The sessions of this broker by client id.
 *
 * Aedes asks for a client's stored subscriptions with nothing but the id, while
 * the connection is being made; `opening` is what it finds then. Of two
 * connections with one id the later one stays [MQTT-3.1.4-2].
 */
import { type DeviceSession } from './device-session.ts'

export class SessionRegistry {
  readonly #sessions = new Map<string, DeviceSession>()

  opening (session: DeviceSession): void {
    const older = this.#sessions.get(session.clientId)
    this.#sessions.set(session.clientId, session)
    if (older !== undefined) older.disconnect('the device connected again')
  }

  closed (session: DeviceSession): void {
    if (this.#sessions.get(session.clientId) === session) this.#sessions.delete(session.clientId)
  }

  find (clientId: string): DeviceSession | undefined {
    return this.#sessions.get(clientId)
  }

  all (): Iterable<DeviceSession> {
    return this.#sessions.values()
  }

  get size (): number {
    return this.#sessions.size
  }
}
