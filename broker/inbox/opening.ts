/** A connection of a device begins, through whichever door of the broker. */
import { EarlyListener } from '../../messaging/deliver/early-listener.ts'
import { type Messaging } from '../../messaging/start.ts'
import { type OpenedDevice } from '../../store/people/device-sessions.ts'
import { type ConnectionRegistry, type ConnectionsBefore, type RegisteredConnection } from './registry.ts'

export interface OpeningDeps { messaging: Messaging, registry: ConnectionRegistry }

export interface Opening<C> {
  userId: string
  deviceId: string
  clean: boolean
  /** Delivery is likely to begin at once: it listens for the user's events before it asks where. */
  listens: boolean
  isOpen: () => boolean
  /** Undefined: the client is gone. */
  create: (found: {
    opened: OpenedDevice
    /** What is known of the session's connections before this one. */
    before: ConnectionsBefore
    early: EarlyListener | undefined
  }) => C | undefined
}

/** Undefined: the client is gone. Throws `unavailable` when the database is away. */
export async function openDevice<C extends RegisteredConnection> (
  { messaging, registry }: OpeningDeps,
  { userId, deviceId, clean, listens, isOpen, create }: Opening<C>
): Promise<C | undefined> {
  const early = listens ? new EarlyListener(messaging.wakes, userId) : undefined
  const clientId = `${userId}/${deviceId}`
  try {
    await registry.kept(clientId)
    const opened = await messaging.openings.open({ userId, deviceId, clean }, isOpen)
    // The close of a socket that is gone by now has been seen already.
    if (opened === undefined || !isOpen()) return undefined
    const connection = create({ opened, before: registry.before(clientId), early })
    if (connection === undefined) return undefined
    registry.opening(connection)
    connection.onClose(messaging.connections.add(connection))
    messaging.cluster.opened({ userId, deviceId, lease: opened.lease })
    return connection
  } finally {
    early?.stop()
  }
}
