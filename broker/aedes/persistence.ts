/**
 * Aedes's persistence with the users' own topics taken out.
 *
 * Inbox packets are kept in the log, so nothing of them is stored here: their
 * acknowledgements go to handlers/puback.ts, and their subscriptions live in
 * `devices`. What is left, the topics granted by `acl`, goes on to the inner
 * persistence, and only for clients with an `acl`: a phone never depends on it.
 */
import { Readable } from 'node:stream'
import { type Client, type Subscription } from 'aedes'
import { isUserTopic } from '../../core/topics.ts'
import { subscriptionKind } from '../access.ts'
import { mqttConnectionOf, type DeviceConnection } from '../inbox/device-connection.ts'
import { type ConnectionRegistry } from '../inbox/registry.ts'
import { asEchoClient } from './client.ts'

interface AnyPacket { topic: string, messageId: number }
type Named = Pick<Client, 'id'>

/** What Aedes 1.2 calls, in promises; the published types still describe the callbacks of older versions. */
export interface Persistence {
  setup (broker: unknown): Promise<void>
  addSubscriptions (client: Named, subscriptions: Subscription[]): Promise<void>
  removeSubscriptions (client: Named, filters: string[]): Promise<void>
  subscriptionsByClient (client: Named): Promise<Array<{ topic: string, qos: number }>>
  /** A connection of a stored session begins. True: there was one before. */
  beginSession? (client: Named): Promise<boolean>
  cleanSubscriptions (client: Named): Promise<unknown>
  subscriptionsByTopic (topic: string): Promise<unknown[]>
  outgoingEnqueue (subscription: unknown, packet: AnyPacket): Promise<void>
  outgoingEnqueueCombi (subscriptions: unknown[], packet: AnyPacket): Promise<void>
  outgoingUpdate (client: Named, packet: AnyPacket): Promise<unknown>
  outgoingClearMessageId (client: Named, packet: AnyPacket): Promise<unknown>
  outgoingStream (client: Named): Readable
  storeRetained (packet: AnyPacket): Promise<void>
  createRetainedStreamCombi (filters: string[]): Readable
  createRetainedStream (filter: string): Readable
  incomingStorePacket (client: Named, packet: AnyPacket): Promise<void>
  incomingGetPacket (client: Named, packet: AnyPacket): Promise<unknown>
  incomingDelPacket (client: Named, packet: AnyPacket): Promise<void>
  cleanIncoming? (client: Named): Promise<void>
  putWill (client: Named, will: AnyPacket): Promise<unknown>
  getWill (client: Named): Promise<unknown>
  delWill (client: Named): Promise<unknown>
  streamWill (brokers: object): Readable
  getClientList (topic: string): Readable
  countOffline (): Promise<unknown>
  destroy (): Promise<void>
}

/**
 * Aedes takes a session without subscriptions for none, where the CONNACK has to say that it is there
 * [MQTT-3.2.2-2]. Nobody may subscribe to this filter, so what is restored is nothing.
 */
const NO_SUBSCRIPTION = { topic: '\0', qos: 0 }

export interface FenceOptions {
  registry: ConnectionRegistry
  /** What outlives a connection of the topics granted by `acl`. */
  inner: Persistence
  /** Hears of each PUBACK and PUBCOMP. False: the packet is the inner persistence's. */
  acknowledge (connection: DeviceConnection | undefined, packetId: number): boolean
}

// Aedes reads one at each CONNECT: Readable.from([]) would cost it 60 µs more, a tenth of the whole.
const nothing = (): Readable => new Readable({ objectMode: true, read () { this.push(null) } })

/** A will is that of a connection, and not of its device: of two of them, each publishes its own. */
export const willOf = ({ clientId, lease }: Pick<DeviceConnection, 'clientId' | 'lease'>): Named =>
  ({ id: `${clientId}/${lease}` })

export function createFencedPersistence ({ registry, inner, acknowledge }: FenceOptions): Persistence {
  const connectionOf = (client: Named): DeviceConnection | undefined =>
    asEchoClient(client as Client).connection ?? mqttConnectionOf(registry, client.id)
  const usesInner = (client: Named): boolean => connectionOf(client)?.identity.acl !== undefined
  const splitStored = new WeakMap<object, Promise<void>>()
  // Aedes removes a will after its connection, with nothing but the id. The older connection ends first.
  const wills = new Map<string, Named[]>()

  // A phone's QoS 2 publishes are commands, and harmless when they are repeated on another
  // connection; Aedes bounds their number (maxInflightInbound).
  const incoming = new WeakMap<Named, Set<number>>()
  function ownIncoming (client: Named): Set<number> {
    const known = incoming.get(client) ?? new Set()
    incoming.set(client, known)
    return known
  }

  async function storeSubscriptions (client: Named, subscriptions: Subscription[]): Promise<void> {
    const connection = connectionOf(client)
    if (connection === undefined) return
    const ofKind = (kind: 'own' | 'granted'): Subscription[] => subscriptions.filter(({ topic }) =>
      subscriptionKind(connection.identity, topic) === kind &&
        (kind === 'own' || connection.subscriptions.holds(topic)))
    await connection.session.add(ofKind('own').map(({ topic, qos }) => ({ topic, qos })))
    const granted = ofKind('granted')
    if (granted.length > 0) await inner.addSubscriptions(client, granted)
  }

  return {
    // Aedes asks for an async function by its constructor.
    async setup (broker: unknown) { await inner.setup(broker) },

    // Called once per filter, each time with the whole packet: stored once, and nothing that was refused.
    // Aedes asks for the first filter before the others are authorized, but all in one turn.
    async addSubscriptions (client: Named, subscriptions: Subscription[]) {
      const stored = splitStored.get(subscriptions) ??
        Promise.resolve().then(() => storeSubscriptions(client, subscriptions))
      splitStored.set(subscriptions, stored)
      await stored
    },

    async removeSubscriptions (client: Named, filters: string[]) {
      await Promise.resolve() // behind a SUBSCRIBE of the same turn
      await connectionOf(client)?.session.remove(filters)
      if (usesInner(client)) await inner.removeSubscriptions(client, filters)
    },

    async subscriptionsByClient (client: Named) {
      const connection = connectionOf(client)
      const own = [...connection?.session.subscriptions ?? []]
      const granted = usesInner(client) ? await inner.subscriptionsByClient(client) : []
      const known = usesInner(client)
        ? await inner.beginSession?.(client)
        : connection?.session.known
      return own.length + granted.length === 0 && known === true ? [NO_SUBSCRIPTION] : [...own, ...granted]
    },

    async cleanSubscriptions (client: Named) {
      if (usesInner(client)) await inner.cleanSubscriptions(client)
    },

    async subscriptionsByTopic (topic: string) {
      return isUserTopic(topic) || topic.startsWith('$') ? [] : await inner.subscriptionsByTopic(topic)
    },

    // PUBACK and PUBCOMP: Aedes takes the packet out of its store by the identifier.
    async outgoingClearMessageId (client: Named, packet: AnyPacket) {
      if (acknowledge(connectionOf(client), packet.messageId) || !usesInner(client)) return undefined
      return await inner.outgoingClearMessageId(client, packet)
    },

    async outgoingUpdate (client: Named, packet: AnyPacket) {
      // An observer's copies were never stored.
      if (usesInner(client)) await inner.outgoingUpdate(client, packet)
    },

    outgoingStream: (client: Named) => usesInner(client) ? inner.outgoingStream(client) : nothing(),
    outgoingEnqueue: (subscription: unknown, packet: AnyPacket) =>
      inner.outgoingEnqueue(subscription, packet),
    outgoingEnqueueCombi: (subscriptions: unknown[], packet: AnyPacket) =>
      inner.outgoingEnqueueCombi(subscriptions, packet),

    async storeRetained (packet: AnyPacket) {
      if (!isUserTopic(packet.topic)) await inner.storeRetained(packet)
    },
    createRetainedStreamCombi (filters: string[]) {
      const granted = filters.filter(filter => !isUserTopic(filter))
      return granted.length === 0 ? nothing() : inner.createRetainedStreamCombi(granted)
    },
    createRetainedStream: (filter: string) => inner.createRetainedStream(filter),

    async incomingStorePacket (client: Named, packet: AnyPacket) {
      if (usesInner(client)) return await inner.incomingStorePacket(client, packet)
      ownIncoming(client).add(packet.messageId)
    },
    async incomingGetPacket (client: Named, packet: AnyPacket) {
      if (usesInner(client)) return await inner.incomingGetPacket(client, packet)
      if (!ownIncoming(client).has(packet.messageId)) throw new Error('no such packet')
      return packet
    },
    async incomingDelPacket (client: Named, packet: AnyPacket) {
      if (usesInner(client)) return await inner.incomingDelPacket(client, packet)
      ownIncoming(client).delete(packet.messageId)
    },
    async cleanIncoming (client: Named) {
      if (usesInner(client)) await inner.cleanIncoming?.(client)
    },

    async putWill (client: Named, will: AnyPacket) {
      const connection = connectionOf(client)
      if (connection === undefined || !usesInner(client)) return
      const own = willOf(connection)
      wills.set(client.id, [...wills.get(client.id) ?? [], own])
      await inner.putWill(own, will)
    },
    async delWill (client: Named) {
      // A new connection has no will yet, and that of an older one is not its to remove.
      if (asEchoClient(client as Client).connection !== undefined) return
      const [oldest, ...others] = wills.get(client.id) ?? []
      if (others.length > 0) wills.set(client.id, others)
      else wills.delete(client.id)
      if (oldest !== undefined) await inner.delWill(oldest)
    },
    async getWill (client: Named) { return usesInner(client) ? await inner.getWill(client) : undefined },
    streamWill: (brokers: object) => inner.streamWill(brokers),
    getClientList: (topic: string) => inner.getClientList(topic),
    async countOffline () { return await inner.countOffline() },
    async destroy () { await inner.destroy() }
  }
}
