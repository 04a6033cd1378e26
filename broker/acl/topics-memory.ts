/** What outlives a connection of the topics granted by `acl`, in the memory of a process that is alone. */
import { createRequire } from 'node:module'
import { type Client } from 'aedes'
import { type Persistence } from '../aedes/persistence.ts'

const memoryPersistence: () => Persistence = createRequire(import.meta.url)('aedes-persistence')

interface StoredPacket {
  cmd?: string
  topic: string
  messageId: number
  brokerId?: string
  brokerCounter?: number
}

/**
 * The store tells packets apart by broker and counter, and a PUBREL has neither:
 * of two that wait, the later one gave the earlier one its identifier, and a
 * message with QoS 2 was never released. So a PUBREL gets both.
 */
export function memoryTopics (): Persistence {
  const store = memoryPersistence()
  const update = store.outgoingUpdate.bind(store)
  store.outgoingUpdate = async (client: Pick<Client, 'id'>, packet: StoredPacket) =>
    await update(client, packet.cmd === 'pubrel'
      ? { ...packet, brokerId: 'pubrel', brokerCounter: packet.messageId }
      : packet)
  return store
}
