/** What outlives a connection of the topics granted by `acl`, in memory: for a process that runs alone. */
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
 * The store tells packets apart by broker and counter, and a PUBREL has neither.
 * Of two PUBRELs that wait, the later one would give the earlier one its identifier,
 * and one message with QoS 2 would never be released. So a PUBREL gets both.
 */
export function createMemoryTopics (): Persistence {
  const store = memoryPersistence()
  const update = store.outgoingUpdate.bind(store)
  store.outgoingUpdate = async (client: Pick<Client, 'id'>, packet: StoredPacket) =>
    await update(client, packet.cmd === 'pubrel'
      ? { ...packet, brokerId: 'pubrel', brokerCounter: packet.messageId }
      : packet)
  return store
}
