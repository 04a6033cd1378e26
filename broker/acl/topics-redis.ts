/**
 * Topics granted by `acl` across nodes: `mqemitter-redis` carries them,
 * sessions-redis.ts keeps what outlives a connection, wills-redis.ts the wills,
 * and `aedes-persistence-redis` the retained messages.
 *
 * Only what other nodes need goes to Redis. What Aedes says about connections
 * and subscriptions on this node stays here, so that a phone's CONNECT never
 * depends on Redis.
 */
import { createRequire } from 'node:module'
import { Readable } from 'node:stream'
import { type Client, type PublishPacket } from 'aedes'
import mqemitter from 'mqemitter'
import { Redis } from 'ioredis'
import { type Logger } from 'pino'
import { isUserTopic } from '../../core/topics.ts'
import { asEchoClient } from '../aedes/client.ts'
import { type Emitter } from '../aedes/emitter.ts'
import { type Persistence } from '../aedes/persistence.ts'
import { levelOf } from '../connection-errors.ts'
import { mqttConnectionOf, type DeviceConnection } from '../inbox/device-connection.ts'
import { isQueueId } from '../inbox/packets.ts'
import { type ConnectionRegistry } from '../inbox/registry.ts'
import { createCommandIds } from './command-ids.ts'
import { readRetained } from './retained-redis.ts'
import { SessionQueue } from './session-queue.ts'
import { createRedisSessions } from './sessions-redis.ts'
import { RedisWills, type Will } from './wills-redis.ts'

const CONCURRENCY = 100
const CHANNEL_PREFIX = 'acl/'
const KEY_PREFIX = 'echo:acl:'
/** A device that waits for Redis for longer is disconnected; it may come back. */
const COMMAND_TIMEOUT_MS = 5_000
export const WILL_ROUND_MS = 10_000

/** Notices about this node's own connections, and Aedes's own about brokers: wills have their own here. */
const staysHere = (topic: string): boolean => topic.startsWith('$SYS/')

interface SharedEmitter extends Emitter { state: NodeJS.EventEmitter, _subTopic (filter: string): string }

/**
 * The channel, or the pattern, that is listened to for a filter. `mqemitter-redis` leaves `[`, `?`, `*` and
 * `\\` of a filter as they are, so that some patterns match nothing. And it takes the topic `a/*` and the
 * filter `a/+` for the same, so that the second of them hears nothing: no channel begins like these patterns.
 */
function channelFor (filter: string): string {
  if (!/[+#]/.test(filter)) return filter
  const pattern = filter.replace(/[[\]?*\\^]/g, '\\$&').replaceAll('+', '*').replace(/\/?#$/, '*')
  return `[${pattern[0]!}]${pattern.slice(1)}`
}

export interface RedisTopics extends AsyncDisposable {
  emitter: Emitter
  persistence: Persistence
  /** What brings a stored session its topics granted by `acl`; undefined: it has subscribed to none. */
  queueOf (connection: DeviceConnection): SessionQueue | undefined
  /** Queued and retained before the PUBACK promises it. */
  keep (packet: PublishPacket): Promise<void>
  /** False: the will has been published, or will be by another process. */
  takeWill (connection: Pick<Client, 'id'>): Promise<boolean>
  /** Publishes the wills of processes that have died. */
  publishWills (publish: (will: Will) => void): void
}

export interface RedisTopicsOptions {
  url: string
  registry: ConnectionRegistry
  log: Logger
  willRoundMs?: number
}

export function startRedisTopics (
  { url, registry, log, willRoundMs = WILL_ROUND_MS }: RedisTopicsOptions
): RedisTopics {
  const require = createRequire(import.meta.url)
  const connect = (options: object, what: string): Redis => {
    const redis = new Redis(url, options)
    redis.on('error', (error: Error) => log.debug({ err: error }, what))
    return redis
  }
  const answering = { maxRetriesPerRequest: 3, commandTimeout: COMMAND_TIMEOUT_MS }
  const { MQEmitterRedisPrefix } = require('mqemitter-redis')
  const pubConn = connect({ ...answering, enableAutoPipelining: true }, 'the channel of acl topics is away')
  // A subscription that gave up would leave its subscriber deaf: this one waits for as long as Redis is away.
  const subConn = connect({ maxRetriesPerRequest: null }, 'the channel of acl topics is away')
  const shared: SharedEmitter = new MQEmitterRedisPrefix(
    CHANNEL_PREFIX, { pubConn, subConn, concurrency: CONCURRENCY, matchEmptyLevels: true }
  )
  shared.state.on('error', () => {}) // logged above
  shared._subTopic = channelFor
  const own: Emitter = mqemitter({ concurrency: CONCURRENCY, matchEmptyLevels: true })
  const route = (topic: string): Emitter => staysHere(topic) ? own : shared

  const redis = connect(answering, 'the store of acl topics is away')
  const retainedRedis =
    connect({ ...answering, keyPrefix: KEY_PREFIX }, 'the store of acl topics is away')
  const retained: Persistence = require('aedes-persistence-redis')({ conn: retainedRedis })
  const sessions = createRedisSessions(redis)
  const wills = new RedisWills(redis, willRoundMs)
  const taking = new Set<Promise<unknown>>()
  let willTimer: NodeJS.Timeout | undefined

  const queues = new WeakMap<DeviceConnection, SessionQueue>()
  const commands = createCommandIds()

  function ensureQueue (connection: DeviceConnection): SessionQueue {
    const queue = queues.get(connection) ?? new SessionQueue(sessions, connection, log)
    queues.set(connection, queue)
    return queue
  }
  function queueOfClient (client: Pick<Client, 'id'>): SessionQueue | undefined {
    const { connection: own } = asEchoClient(client as Client)
    return own && queues.get(own)
  }
  const retain = async (
    packet: Parameters<Persistence['storeRetained']>[0] & { retain?: boolean }
  ): Promise<void> => {
    if (packet.retain === true) await retained.storeRetained(packet)
  }
  // Aedes listens to no errors, and one would end the process: of a stream that fails no more comes.
  const read = (filters: string[]): Readable => readRetained(retained, filters, (error, stream) => {
    log.warn({ err: error }, 'retained messages could not be read')
    stream.push(null)
  })

  const persistence: Persistence = {
    async setup (broker: unknown) { wills.brokerId = (broker as { id: string }).id },

    async addSubscriptions (client, subscriptions) {
      await sessions.subscribe(client.id, subscriptions.map(({ topic, qos }) => [topic, qos] as const))
      const { connection: own } = asEchoClient(client as Client)
      if (own === undefined) return
      const queue = ensureQueue(own)
      for (const { topic, qos } of subscriptions) queue.filters.set(topic, qos)
      // A connection may get its `acl` after its CONNACK: nothing else tells it to look into its queue then.
      if ((client as Client).connected) queue.start()
    },
    async removeSubscriptions (client, filters) {
      await sessions.unsubscribe(client.id, filters)
      for (const filter of filters) queueOfClient(client)?.filters.delete(filter)
    },
    async subscriptionsByClient (client) {
      const stored = await sessions.subscriptions(client.id)
      const own = mqttConnectionOf(registry, client.id)
      if (own !== undefined) for (const { topic, qos } of stored) ensureQueue(own).filters.set(topic, qos)
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

    // With a higher QoS `keep` has done it.
    async storeRetained (packet) {
      if ((packet as { qos?: number }).qos === 0) await retained.storeRetained(packet)
    },
    createRetainedStreamCombi: read,
    createRetainedStream: filter =>
      readRetained(retained, [filter], (error, stream) => { stream.destroy(error) }),

    async incomingStorePacket (client, packet) {
      const message = packet as unknown as PublishPacket
      if (isUserTopic(packet.topic)) {
        commands.add(client, packet.messageId)
        return
      }
      await retain(packet)
      await sessions.receive(client.id, packet.messageId, message)
    },
    async incomingGetPacket (client, packet) {
      if (commands.has(client, packet.messageId)) return packet
      const { topic } = packet as { topic?: string | null } // a PUBREL has none
      if ((topic != null && isUserTopic(topic)) ||
        !await sessions.received(client.id, packet.messageId)) throw new Error('no such packet')
      return packet
    },
    async incomingDelPacket (client, packet) {
      if (commands.release(client, packet.messageId)) return
      await sessions.releaseReceived(client.id, packet.messageId)
    },
    cleanIncoming: client => sessions.forgetReceived(client.id),

    putWill: async (client, will) => { await wills.put(client.id, will as unknown as Will) },
    // Aedes takes no notice of a failure, and one would end the process.
    delWill: client => wills.take(client.id)
      .catch((error: unknown) => log[levelOf(error)]({ err: error }, 'a will could not be removed')),
    getWill: async () => undefined,
    streamWill: () => Readable.from([]),
    getClientList: () => Readable.from([]),
    countOffline: async () => ({ subsCount: 0, clientsCount: 0 }),
    destroy: async () => {}
  }

  return {
    emitter: {
      on: (topic, receive, done) => route(topic).on(topic, receive, done),
      removeListener: (topic, receive, done) => route(topic).removeListener(topic, receive, done),
      emit: (packet, done) => route(packet.topic).emit(packet, done),
      // The wills of the connections that a stop has closed go first.
      close: done => {
        const end = (): unknown => setImmediate(() => own.close(() => shared.close(done)))
        Promise.allSettled(taking).then(end, end)
      }
    },
    persistence,
    queueOf: own => queues.get(own),
    async keep (packet) {
      await retain(packet as never)
      await sessions.enqueue(packet)
    },
    async takeWill ({ id }) {
      const taken = wills.take(id)
      taking.add(taken)
      return await taken.finally(() => taking.delete(taken)) !== undefined
    },
    publishWills (publish) {
      const round = (): void => {
        wills.round(publish).catch((error: unknown) =>
          log[levelOf(error)]({ err: error }, 'the wills of other processes could not be read'))
      }
      willTimer = setInterval(round, willRoundMs)
      round()
    },
    async [Symbol.asyncDispose] () {
      clearInterval(willTimer)
      for (const each of [redis, retainedRedis, pubConn, subConn]) each.disconnect()
    }
  }
}
