/** What Aedes may forward to a client: topics granted by `acl`, and copies for admins. */
import { type AedesPublishPacket, type Client } from 'aedes'
import { mayReceive } from './access.ts'
import { connectionOf } from './aedes-client.ts'

/**
 * Repeats the access check, because a subscription may be older than the token,
 * and drops QoS 0 for a full socket: Aedes would wait for it, and with it
 * everybody who shares the emitter's hundred slots.
 */
export function authorizeForward (client: Client, packet: AedesPublishPacket): AedesPublishPacket | null {
  const { session, conn } = connectionOf(client)
  if (session === undefined || !mayReceive(session.identity, packet.topic)) return null
  const droppable = packet.qos === 0 || session.identity.acl === undefined
  return droppable && conn.writableNeedDrain ? null : packet
}
