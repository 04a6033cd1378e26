/**
 * Retained messages of topics granted by `acl`. Each is kept with the id of the client that published it,
 * which begins with its user: when a user is erased, they go. A topic belongs to nobody, so what others
 * published on the same topics stays.
 */
import { type Client, type PublishPacket } from 'aedes'
import { type Persistence } from '../aedes/persistence.ts'

/** Of a packet's fields Aedes keeps those it knows, `clientId` among them. */
export type SignedPacket = PublishPacket & { clientId?: string }

/** Before the packet is retained. */
export function sign (packet: PublishPacket, client: Pick<Client, 'id'>): void {
  if (packet.retain) (packet as SignedPacket).clientId = client.id
}

/** Removes what the user's clients have retained; costs as much as there are retained messages. */
export async function forgetRetained (
  store: Pick<Persistence, 'createRetainedStream' | 'storeRetained'>, userId: string
): Promise<void> {
  const topics = new Set<string>()
  for await (const packet of store.createRetainedStream('#')) {
    if (isOf(packet, userId)) topics.add(packet.topic)
  }
  for (const topic of topics) {
    // Another user may have taken the topic meanwhile. Without a payload it is removed [MQTT-3.3.1-10].
    for await (const packet of store.createRetainedStream(topic)) {
      if (isOf(packet, userId)) await store.storeRetained({ ...packet, qos: 0, payload: Buffer.alloc(0) })
    }
  }
}

const isOf = ({ clientId }: SignedPacket, userId: string): boolean =>
  clientId?.startsWith(`${userId}/`) === true
