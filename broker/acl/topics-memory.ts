/** Topics granted by `acl` in a process that runs alone: sessions and retained messages in memory. */
import { Readable } from 'node:stream'
import { type Client, type PublishPacket } from 'aedes'
import { type Logger } from 'pino'
import { isUserTopic } from '../../core/topics.ts'
import { asEchoClient } from '../aedes/client.ts'
import { mqttConnectionOf, type DeviceConnection } from '../inbox/device-connection.ts'
import { isQueueId } from '../inbox/packets.ts'
import { type ConnectionRegistry } from '../inbox/registry.ts'
import { createCommandIds } from './command-ids.ts'
import { LevelTree } from './level-tree.ts'
import { type SignedPacket } from './retained.ts'
import { SessionQueue } from './session-queue.ts'
import { createMemorySessions } from './sessions-memory.ts'
import { type RedisTopics } from './topics-redis.ts'

/** Without an emitter of its own it has Aedes's. */
export type AclTopics = Omit<RedisTopics, 'emitter'> & Partial<Pick<RedisTopics, 'emitter'>>

export function startMemoryTopics (
  { registry, log }: { registry: ConnectionRegistry, log: Logger }
): AclTopics {
  const sessions = createMemorySessions(Date.now)
  const commands = createCommandIds()
  const retained = new LevelTree<object>()
  const queues = new WeakMap<DeviceConnection, SessionQueue>()

  function ensureQueue (connection: DeviceConnection): SessionQueue {
    const queue = queues.get(connection) ?? new SessionQueue(sessions, connection, log)
    queues.set(connection, queue)
    return queue
  }
  function queueOfClient (client: Pick<Client, 'id'>): SessionQueue | undefined {
    const { connection } = asEchoClient(client as Client)
    return connection && queues.get(connection)
  }
  function retain ({ retain, topic, payload, qos, clientId }: SignedPacket): void {
    if (!retain) return
    if (payload.length === 0) retained.delete(topic) // [MQTT-3.3.1-10]
    else retained.set(topic, { cmd: 'publish', topic, payload, qos, retain, clientId })
  }
  function * retainedFor (filters: string[]): Generator<object> {
    const found = new Set(filters.flatMap(filter => [...retained.ofTopicsFor(filter)]))
    yield * found
  }

  return {
    persistence: {
      async setup () {},

      async addSubscriptions (client, subscriptions) {
        await sessions.subscribe(client.id, subscriptions.map(({ topic, qos }) => [topic, qos] as const))
        const { connection } = asEchoClient(client as Client)
        if (connection === undefined) return
        const queue = ensureQueue(connection)
        for (const { topic, qos } of subscriptions) queue.filters.set(topic, qos)
        if ((client as Client).connected) queue.start()
      },
      async removeSubscriptions (client, filters) {
        await sessions.unsubscribe(client.id, filters)
        for (const filter of filters) queueOfClient(client)?.filters.delete(filter)
      },
      async subscriptionsByClient (client) {
        const stored = await sessions.subscriptions(client.id)
        const connection = mqttConnectionOf(registry, client.id)
        if (connection === undefined) return stored
        for (const { topic, qos } of stored) ensureQueue(connection).filters.set(topic, qos)
        return stored
      },
      beginSession: client => sessions.remember(client.id),
      cleanSubscriptions: client => sessions.forget(client.id),

      // `keep` and `incomingStorePacket` have put it into the queues.
      subscriptionsByTopic: async () => [],
      outgoingEnqueue: async () => {},
      outgoingEnqueueCombi: async () => {},
      async outgoingUpdate (client, packet) {
        if ((packet as { cmd?: string }).cmd === 'pubrel' && isQueueId(packet.messageId)) {
          await queueOfClient(client)?.received(packet.messageId)
        }
      },
      async outgoingClearMessageId (client, packet) {
        if (isQueueId(packet.messageId)) await queueOfClient(client)?.acknowledged(packet.messageId)
      },
      outgoingStream: () => Readable.from([]),

      async storeRetained (packet) { retain(packet as never) },
      createRetainedStreamCombi: filters => Readable.from(retainedFor(filters)),
      createRetainedStream: filter => Readable.from(retainedFor([filter])),

      async incomingStorePacket (client, packet) {
        const message = packet as unknown as PublishPacket
        if (isUserTopic(packet.topic)) commands.add(client, packet.messageId)
        else await sessions.receive(client.id, packet.messageId, message)
      },
      async incomingGetPacket (client, packet) {
        if (commands.has(client, packet.messageId)) return packet
        const { topic } = packet as { topic?: string | null } // a PUBREL has none
        if ((topic != null && isUserTopic(topic)) ||
          !await sessions.received(client.id, packet.messageId)) throw new Error('no such packet')
        return packet
      },
      incomingDelPacket: (client, packet) => commands.release(client, packet.messageId)
        ? Promise.resolve()
        : sessions.releaseReceived(client.id, packet.messageId),
      cleanIncoming: client => sessions.forgetReceived(client.id),

      // Aedes has the will itself, and publishes it once.
      putWill: async () => {},
      delWill: async () => {},
      getWill: async () => undefined,
      streamWill: () => Readable.from([]),
      getClientList: () => Readable.from([]),
      countOffline: async () => ({ subsCount: 0, clientsCount: 0 }),
      destroy: async () => {}
    },
    queueOf: connection => queues.get(connection),
    keep: packet => sessions.enqueue(packet),
    takeWill: async () => true,
    publishWills () {},
    async [Symbol.asyncDispose] () {}
  }
}
