/**
 * The broker: how devices connect.
 *
 * Aedes speaks MQTT and carries the topics granted by `acl`. A user's own topics
 * are fenced off from its emitter and its store (aedes/) and delivered by a pump per
 * connection, straight to the socket (inbox/).
 *
 *   connect      which user and device, and what was stored of its session
 *   subscribe    own topics start the pump; others by `acl`
 *   publish      commands are decided before their PUBACK
 *   puback       moves the pump, and with it the device's cursor
 *   forward      the access check again, and no waiting for full sockets
 *
 * Clients without MQTT speak JSON over WebSocket (json-websocket/), past Aedes.
 */
import { Aedes, type AedesOptions, type PublishPacket } from 'aedes'
import { type Duplex } from 'node:stream'
import { type Logger } from 'pino'
import { withinMs } from '../core/deadline.ts'
import { type Messaging } from '../messaging/start.ts'
import { forgetRetained } from './acl/retained.ts'
import { startMemoryTopics, type AclTopics } from './acl/topics-memory.ts'
import { startRedisTopics } from './acl/topics-redis.ts'
import { asEchoClient } from './aedes/client.ts'
import { createFencedEmitter } from './aedes/emitter.ts'
import { takeInOrder, type Intake } from './aedes/intake.ts'
import { createFencedPersistence } from './aedes/persistence.ts'
import { parseStrictly } from './aedes/strict-parser.ts'
import { levelOf } from './connection-errors.ts'
import { authenticate, preConnect } from './handlers/connect.ts'
import { forward } from './handlers/forward.ts'
import { acknowledge } from './handlers/puback.ts'
import { authorizePublish } from './handlers/publish.ts'
import {
  authorizeSubscribe, FILTERS_PER_SECOND, followSubscriptions, subscribe, unsubscribe
} from './handlers/subscribe.ts'
import { ConnectionRegistry } from './inbox/registry.ts'
import { type ConnectionTimes } from './json-websocket/json-connection.ts'
import { startJsonWebSocket } from './json-websocket/start.ts'
import { AddressLimits } from './limits/address.ts'
import { limitPackets } from './limits/packet.ts'
import { startRateLimit } from './limits/rate.ts'
import { showBroker, throttledTotal } from './metrics.ts'
import { arrive, type Arrival } from './transport/arrival.ts'
import { type Certificate } from './transport/tls.ts'
import { startTcpServer, startWebSocketServer, type Reception } from './transport/listeners.ts'

const CONNECT_TIMEOUT_MS = 10_000
/** As long as a device may leave its window unmoved (messaging/deliver/sweep.ts). */
const DRAIN_TIMEOUT_MS = 60_000
/** A ping every 54 s finds a dead peer before it has been silent for 60. */
const WS_TIMES = { pingAfterMs: 1_000, pingEveryMs: 54_000, silenceMs: 60_000 }
const TOPIC_PUBLISHES_PER_SECOND = 1_000
const CLOSE_TIMEOUT_MS = 5_000

export interface BrokerOptions {
  host: string
  mqttPort: number
  wsPort: number
  /** With `tls`: MQTT over TLS too. */
  mqttsPort?: number
  /** The WebSocket port speaks TLS. */
  tls?: Certificate
  /** Of pages that may open a WebSocket; undefined: those of the same host name. */
  wsAllowedOrigins?: string[]
  /** Where topics granted by `acl` are shared with other nodes; undefined: in memory. */
  redisUrl?: string
  /** Commands per second and user; 0, the default: publishing has no limit. */
  rateLimitSends?: number
  /** MQTT over TCP begins with a PROXY header. */
  proxyProtocol?: boolean
  /** X-Forwarded-For says where a WebSocket comes from. */
  trustProxy?: boolean
  /** From the connection to its CONNECT, and from there to the CONNACK. */
  connectTimeoutMs?: number
  /** A connection ends when its socket takes nothing of what waits for it for so long. */
  drainTimeoutMs?: number
  /** With Redis: how often the broker looks for wills of processes that have died. */
  willRoundMs?: number
  /** Of JSON WebSockets: pings, and how long a peer may be silent. */
  wsTimes?: Partial<Omit<ConnectionTimes, 'drainTimeoutMs'>>
}
export interface Broker extends AsyncDisposable {
  mqttPort: number
  wsPort: number
  mqttsPort: number | undefined
  /** What it remembers now. */
  counts (): BrokerCounts
  /** Of these, JSON WebSockets: open ones, and devices among them. */
  jsonCounts (): { connections: number, devices: number }
}

export interface BrokerCounts {
  /** Open ones of MQTT, those without an accepted CONNECT included. */
  connections: number
  /** Connected devices, whatever their door. */
  devices: number
  /** Addresses that hold connections. */
  addresses: number
  /** Users who have published lately. */
  publishers: number
}

export async function startBroker (
  options: BrokerOptions, { messaging, log }: { messaging: Messaging, log: Logger }
): Promise<Broker> {
  const { host, mqttPort, wsPort, redisUrl, rateLimitSends = 0, proxyProtocol = false, trustProxy = false } =
    options
  const { willRoundMs, connectTimeoutMs = CONNECT_TIMEOUT_MS, drainTimeoutMs = DRAIN_TIMEOUT_MS } = options
  const registry = new ConnectionRegistry()
  const limits = new AddressLimits()
  const connectDeps = { messaging, registry, log }
  const now = (): number => performance.now()
  const commandRate = startRateLimit({
    perSecond: rateLimitSends, now, onWait: () => throttledTotal.inc({ limit: 'commands' })
  })
  const topicRate = startRateLimit({
    perSecond: rateLimitSends === 0
      ? 0
      : TOPIC_PUBLISHES_PER_SECOND,
    now,
    onWait: () => throttledTotal.inc({ limit: 'topics' })
  })
  // Not off with the others: a flood of filters stops everybody.
  const filterRate = startRateLimit({
    perSecond: FILTERS_PER_SECOND, now: Date.now, onWait: () => throttledTotal.inc({ limit: 'filters' })
  })
  const intake: Intake = {
    subscribe: (...packet) => subscribe({ log, filterRate }, ...packet),
    unsubscribe: (...packet) => unsubscribe({ log, filterRate }, ...packet)
  }
  const topics: AclTopics = redisUrl === undefined
    ? startMemoryTopics({ registry, log })
    : startRedisTopics({ url: redisUrl, registry, log, willRoundMs })
  messaging.erasures.onErasing(userId => forgetRetained(topics.persistence, userId))
  const publishDeps = { messaging, log, commandRate, topicRate, topics }
  const aedes = await Aedes.createBroker({
    connectTimeout: connectTimeoutMs,
    drainTimeout: drainTimeoutMs,
    // Of MQTT 3.1. The length was checked before the user's id was put in front.
    maxClientsIdLength: Infinity,
    mq: createFencedEmitter(topics.emitter),
    persistence: createFencedPersistence({ registry, inner: topics.persistence, acknowledge }),
    preConnect: (client, packet, done) => preConnect(connectDeps, client, packet, done),
    authenticate: (client, _user, _password, done) => authenticate(messaging, client, done),
    authorizeSubscribe,
    authorizePublish: (client, packet, done) => authorizePublish(publishDeps, client, packet, done)
  } satisfies AedesOptions)
  followSubscriptions(aedes, { messaging, topics })
  topics.publishWills(will => {
    const keeping = will.qos > 0 ? topics.keep(will as PublishPacket) : Promise.resolve()
    keeping.then(() => aedes.publish(will as PublishPacket, () => {}), (error: unknown) =>
      log.warn({ err: error }, 'the will of a dead process could not be published'))
  })
  aedes.on(
    'clientError',
    (client, error) => log[levelOf(error)](
      { client_id: client.id, address: asEchoClient(client).address, err: error }, 'a connection failed'
    )
  )
  aedes.on(
    'connectionError',
    (client, error) => log[levelOf(error)](
      { address: asEchoClient(client).address, err: error }, 'a connection failed before its CONNECT'
    )
  )
  ;(aedes as NodeJS.EventEmitter).on(
    'error', error => log.error({ err: error }, 'the broker reported an error')
  )

  aedes.on('ping', (_, client) => asEchoClient(client).connection?.touch())
  aedes.on('clientReady', client => {
    asEchoClient(client).arrival?.finished()
    delete asEchoClient(client).arrival
  })

  const sockets = new Set<Duplex>()
  function accept (socket: Duplex, arrival: Arrival): void {
    sockets.add(socket)
    const client = asEchoClient(aedes.handle(socket))
    Object.assign(client, { arrival, address: arrival.address })
    client.deliver0 = client.deliverQoS = (packet, done) => forward(topics, client, packet, done)
    limitPackets(client)
    parseStrictly(client)
    takeInOrder(client, intake)
    socket.once('close', () => {
      sockets.delete(socket)
      if (client.connection === undefined) return
      client.connection.close()
      registry.closed(client.connection)
    })
  }

  const json = startJsonWebSocket({
    messaging, registry, commandRate, log, times: { ...WS_TIMES, ...options.wsTimes, drainTimeoutMs }
  })

  // The lease of the other node's connection already fences this one.
  messaging.onOpened(({ userId, deviceId, lease }) => {
    const connection = registry.find(`${userId}/${deviceId}`)
    if (connection !== undefined && connection.lease < lease) {
      registry.replace(connection, 'the device connected to another node')
    }
  })

  const closeAedes = async (): Promise<void> => {
    await withinMs(CLOSE_TIMEOUT_MS, new Promise<void>(resolve => aedes.close(() => resolve())))
    await topics[Symbol.asyncDispose]()
  }
  const { tls, mqttsPort, wsAllowedOrigins: allowedOrigins } = options
  const reception: Reception = { arrive: socket => arrive(socket, limits, connectTimeoutMs), accept }
  const [tcp, webSocket, secureTcp] = await Promise.all([
    startTcpServer({ host, port: mqttPort, variable: 'MQTT_PORT', proxyProtocol }, reception),
    startWebSocketServer(
      { host, port: wsPort, variable: 'WS_PORT', trustProxy, allowedOrigins, tls },
      { ...reception, acceptJson: json.accept }
    ),
    mqttsPort === undefined
      ? undefined
      : startTcpServer({ host, port: mqttsPort, variable: 'MQTTS_PORT', proxyProtocol, tls }, reception)
  ]).catch(async (error: unknown) => {
    await json[Symbol.asyncDispose]()
    await closeAedes()
    throw error
  })

  const counts = (): BrokerCounts => ({
    connections: sockets.size,
    devices: registry.size,
    addresses: limits.size,
    publishers: commandRate.users() + topicRate.users()
  })
  const stopShowing = showBroker({ counts, jsonCounts: json.counts })
  return {
    mqttPort: tcp.port,
    wsPort: webSocket.port,
    mqttsPort: secureTcp?.port,
    counts,
    jsonCounts: json.counts,
    async [Symbol.asyncDispose] () {
      stopShowing()
      for (const server of [tcp, webSocket, secureTcp]) await server?.[Symbol.asyncDispose]()
      await json[Symbol.asyncDispose]()
      await closeAedes()
      for (const socket of sockets) socket.destroy()
      for (const rate of [commandRate, topicRate, filterRate]) rate[Symbol.dispose]()
      // The close events of their sockets come later; what they leave unacknowledged must be known now.
      for (const connection of registry.all()) {
        connection.close()
        registry.closed(connection)
      }
      await withinMs(CLOSE_TIMEOUT_MS, registry.kept())
    }
  }
}
