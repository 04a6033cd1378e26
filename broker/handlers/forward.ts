/** What Aedes may forward to a client: topics granted by `acl`, and copies for admins. */
import { type AedesPublishPacket, type Client } from 'aedes'
import { isGranted, mayReceive } from '../access.ts'
import { type RedisTopics } from '../acl/topics-redis.ts'
import { asEchoClient } from '../aedes/client.ts'

/** How much is kept for the full socket of a client that is entitled to every packet. */
const MAX_BACKLOG_PACKETS = 1_000
const MAX_BACKLOG_BYTES = 1024 * 1024

/**
 * Repeats the access check, because a subscription may be older than the token.
 *
 * With Redis, a stored session gets QoS 1 and 2 from its queue there, and not from here.
 *
 * For a full socket QoS 0 and an observer's copies are dropped. QoS 1 and 2 are
 * kept up to a bound; then the connection ends, and a stored session gets them
 * when it comes back.
 */
export function authorizeForward (
  topics: Pick<RedisTopics, 'queueOf'> | undefined, client: Client, packet: AedesPublishPacket
): AedesPublishPacket | null {
  const { connection } = asEchoClient(client)
  if (connection === undefined || !mayReceive(connection.identity, packet.topic)) return null
  const queue = packet.qos > 0 && !packet.retain ? topics?.queueOf(connection) : undefined
  if (queue?.holds(packet.topic) === true) {
    queue.look()
    return null
  }
  const { socket } = connection
  if (!socket.full) return packet
  if (packet.qos === 0 || !isGranted(connection.identity, packet.topic)) return null
  if (isLive(packet) &&
    (socket.keepForDrain() > MAX_BACKLOG_PACKETS || socket.waitingBytes > MAX_BACKLOG_BYTES)) {
    connection.disconnect('it does not take what it subscribed to')
  }
  // Refusing it here would take it out of the stored session.
  return packet
}

/** Retained messages and those of a restored session are read only as fast as the socket takes them. */
const isLive = ({ retain, messageId }: AedesPublishPacket & { messageId?: number }): boolean => !retain &&
  !messageId
