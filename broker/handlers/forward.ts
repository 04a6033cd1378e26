/** What is forwarded to a client: topics granted by `acl`, and copies for admins. */
import { type AedesPublishPacket } from 'aedes'
import { generate } from 'mqtt-packet'
import { filterMatches } from '../../core/topics.ts'
import { isGranted, mayReceive } from '../access.ts'
import { type AclTopics } from '../acl/topics-memory.ts'
import { type EchoClient } from '../aedes/client.ts'
import { type DeviceConnection } from '../inbox/device-connection.ts'

/** How much is kept for the full socket of a client that is entitled to every packet. */
const MAX_BACKLOG_PACKETS = 1_000
const MAX_BACKLOG_BYTES = 1024 * 1024

const MAX_PACKET_ID = 65_535

/** `nl`: not to the client that published it, as bridges ask for. */
type Forwarded = AedesPublishPacket & { nl?: boolean, clientId?: string }

/**
 * In the place of Aedes's own delivery, which sends a message once for each filter that matches, with
 * the QoS of the PUBLISH when the filter has a wildcard, and with the publisher's DUP. Here a client gets
 * it once, with the highest QoS that its filters grant [MQTT-3.3.5-1] and never above that of the PUBLISH
 * [MQTT-3.8.4-6], and as what it is: sent for the first time [MQTT-3.3.1-3].
 */
export function forward (
  topics: Pick<AclTopics, 'queueOf'>, client: EchoClient, packet: Forwarded, done: () => void
): void {
  const { connection } = client
  if (connection === undefined || isRepeated(connection, packet)) return done()
  if (packet.nl === true && packet.clientId === client.id) return done()
  packet.qos = Math.min(packet.qos, grantedQos(client, packet.topic)) as 0 | 1 | 2
  if (!mayForward(topics, connection, packet)) return done()
  const { topic, payload, qos, retain } = packet
  const messageId = qos === 0 ? undefined : client._nextId
  if (messageId !== undefined) client._nextId = messageId % MAX_PACKET_ID + 1
  const free = connection.socket.write(generate({
    cmd: 'publish', topic, payload, qos, retain, dup: false, messageId
  }))
  if (free) done()
  else client.waitForDrain(() => done())
}

// All filters that a message matches are called in one go, so it is enough to know the last message.
// Retained messages are read for one SUBSCRIBE, each once, and carry no number.
function isRepeated (connection: DeviceConnection, { brokerId, brokerCounter }: Forwarded): boolean {
  if (!brokerId) return false
  const { forwarded } = connection
  if (forwarded?.brokerId === brokerId && forwarded.brokerCounter === brokerCounter) return true
  connection.forwarded = { brokerId, brokerCounter }
  return false
}

function grantedQos ({ subscriptions }: EchoClient, topic: string): number {
  let highest = 0
  for (const filter in subscriptions) {
    const { qos } = subscriptions[filter]!
    if (qos > highest && filterMatches(filter, topic)) highest = qos
  }
  return highest
}

/**
 * Repeats the access check, because a subscription may be older than the token.
 *
 * A stored session gets QoS 1 and 2 from its queue, and not from here.
 *
 * For a full socket QoS 0 and an observer's copies are dropped. QoS 1 and 2 are
 * kept up to a bound; then the connection ends.
 */
function mayForward (
  topics: Pick<AclTopics, 'queueOf'>, connection: DeviceConnection, packet: Forwarded
): boolean {
  if (!mayReceive(connection.identity, packet.topic)) return false
  const queue = packet.qos > 0 && !packet.retain ? topics.queueOf(connection) : undefined
  if (queue?.holds(packet.topic) === true) {
    queue.look()
    return false
  }
  const { socket } = connection
  if (!socket.full) return true
  if (packet.qos === 0 || !isGranted(connection.identity, packet.topic)) return false
  // Retained messages are read only as fast as the socket takes them.
  if (!packet.retain &&
    (socket.keepForDrain() > MAX_BACKLOG_PACKETS || socket.waitingBytes > MAX_BACKLOG_BYTES)) {
    connection.disconnect('it does not take what it subscribed to')
  }
  return true
}
