/**
 * The broker: how devices connect.
 *
 * Aedes speaks MQTT and carries the topics granted by `acl`. A user's own topics
 * are fenced off from its emitter (emitter.ts) and its store (persistence.ts) and
 * served by a pump per session, straight to the socket (device-session.ts).
 *
 *   connect      who is it, which device, what was stored
 *   subscribe    own topics start the pump; others by `acl`
 *   publish      commands are decided before their PUBACK
 *   forward      the access check again, and no waiting for full sockets
 */
import { Aedes, type AedesOptions, type PublishPacket } from 'aedes'
import { type Duplex } from 'node:stream'
import { type Logger } from 'pino'
import { type Messaging } from '../messaging/start.ts'
import { AddressLimits } from './limits/address.ts'
import { connectionOf } from './aedes/client.ts'
import { arrive, type Arrival } from './transport/arrival.ts'
import { authenticate, preConnect } from './handlers/connect.ts'
import { fencedEmitter } from './aedes/emitter.ts'
import { authorizeForward } from './handlers/forward.ts'
import { listenTcp, listenWebSocket, type Reception } from './transport/listeners.ts'
import { limitPackets } from './limits/packet.ts'
import { showBroker, throttledTotal } from './metrics.ts'
import { fencedPersistence } from './aedes/persistence.ts'
import { authorizePublish } from './handlers/publish.ts'
import { limitRate } from './limits/rate.ts'
import { connectRedisTopics } from './acl/topics-redis.ts'
import { ConnectionRegistry } from './inbox/registry.ts'
import { authorizeSubscribe, followSubscriptions } from './handlers/subscribe.ts'

const CONNECT_TIMEOUT_MS = 10_000
/** As long as a device may leave its window unmoved (messaging/sweep.ts). */
const DRAIN_TIMEOUT_MS = 60_000
const TOPIC_PUBLISHES_PER_SECOND = 1_000
const TOKEN_CHECK_MS = 10_000
const CLOSE_TIMEOUT_MS = 5_000

export interface BrokerOptions {
  host: string
  mqttPort: number
  wsPort: number
  /** Where topics granted by `acl` are shared with other nodes; undefined: in memory. */
  redisUrl?: string
  /** Commands per second and user; 0, the default: publishing has no limit. */
  rateLimitSends?: number
  /** MQTT over TCP begins with a PROXY header. */
  proxyProtocol?: boolean
  /** X-Forwarded-For says where a WebSocket comes from. */
  trustProxy?: boolean
  /** From the connection to its CONNECT. */
  connectTimeoutMs?: number
  /** A connection whose socket takes nothing for so long, while something waits for it, ends. */
  drainTimeoutMs?: number
  /** With Redis: how often it is looked for wills of brokers that have died. */
  willRoundMs?: number
}
export interface Broker extends AsyncDisposable {
  mqttPort: number
  wsPort: number
  /** What is remembered: open connections, sessions, addresses that hold connections, users who publish. */
  counts (): { connections: number, sessions: number, addresses: number, publishers: number }
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
  const commandRate = limitRate({
    perSecond: rateLimitSends, now: Date.now, onWait: () => throttledTotal.inc({ limit: 'commands' })
  })
  const topicRate = limitRate({
    perSecond: rateLimitSends === 0
      ? 0
      : TOPIC_PUBLISHES_PER_SECOND,
    now: Date.now,
    onWait: () => throttledTotal.inc({ limit: 'topics' })
  })
  const shared = redisUrl === undefined
    ? undefined
    : connectRedisTopics({ url: redisUrl, registry, log, willRoundMs })
  const publishDeps = { messaging, log, commandRate, topicRate, shared }
  const aedes = await Aedes.createBroker({
    connectTimeout: connectTimeoutMs,
    drainTimeout: drainTimeoutMs,
    maxClientsIdLength: Infinity, // for MQTT 3.1; what may be too long was decided before the user's id was put in front
    mq: fencedEmitter(shared?.emitter),
    persistence: fencedPersistence(registry, shared?.persistence),
    preConnect: (client, packet, done) => preConnect(connectDeps, client, packet, done),
    authenticate: (client, _user, _password, done) => authenticate(log, client, done),
    authorizeSubscribe: (client, subscription, done) => authorizeSubscribe(log, client, subscription, done),
    authorizePublish: (client, packet, done) => authorizePublish(publishDeps, client, packet, done),
    authorizeForward
  } satisfies AedesOptions)
  followSubscriptions(aedes, messaging)
  shared?.publishWills(will => {
    const keeping = will.qos > 0 ? shared.keep(will as PublishPacket) : Promise.resolve()
    keeping.then(() => aedes.publish(will as PublishPacket, () => {}), (error: unknown) =>
      log.warn({ err: error }, 'the will of a dead process could not be published'))
  })
  aedes.on(
    'clientError', (client, error) => log.debug({ client_id: client.id, err: error }, 'a connection failed')
  )
  aedes.on(
    'connectionError', (_, error) => log.debug({ err: error }, 'a connection failed before its CONNECT')
  )
  ;(aedes as NodeJS.EventEmitter).on(
    'error', error => log.error({ err: error }, 'the broker reported an error')
  )

  aedes.on('ping', (_, client) => connectionOf(client).session?.touch())
  aedes.on('clientReady', client => {
    connectionOf(client).arrival?.finished()
    delete connectionOf(client).arrival
  })

  const connections = new Set<Duplex>()
  function accept (connection: Duplex, arrival: Arrival): void {
    connections.add(connection)
    const client = aedes.handle(connection)
    Object.assign(connectionOf(client), { arrival, address: arrival.address })
    limitPackets(client)
    connection.once('close', () => {
      connections.delete(connection)
      const { session } = connectionOf(client)
      if (session === undefined) return
      session.close()
      registry.closed(session)
    })
  }

  // The device is somewhere else now; this connection has been fenced already.
  messaging.onOpened(({ userId, deviceId, lease }) => {
    const session = registry.find(`${userId}/${deviceId}`)
    if (session !== undefined && session.lease < lease) {
      session.disconnect('the device connected to another node')
    }
  })

  const closeAedes = async (): Promise<void> => {
    await withDeadline(CLOSE_TIMEOUT_MS, new Promise(resolve => aedes.close(() => resolve())))
    await shared?.[Symbol.asyncDispose]()
  }
  const reception: Reception = { arrive: socket => arrive(socket, limits, connectTimeoutMs), accept }
  const [tcp, webSocket] = await Promise.all([
    listenTcp({ host, port: mqttPort, variable: 'MQTT_PORT', proxyProtocol }, reception),
    listenWebSocket({ host, port: wsPort, variable: 'WS_PORT', trustProxy }, reception)
  ]).catch(async (error: unknown) => {
    await closeAedes()
    throw error
  })

  const tokenTimer = setInterval(() => {
    const now = Date.now() / 1000
    for (const session of registry.all()) {
      if (session.identity.expiresAt < now) session.disconnect('its token has expired')
    }
  }, TOKEN_CHECK_MS)

  const counts = () => ({
    connections: connections.size,
    sessions: registry.size,
    addresses: limits.size,
    publishers: commandRate.size() + topicRate.size()
  })
  const stopShowing = showBroker({ counts })
  return {
    mqttPort: tcp.port,
    wsPort: webSocket.port,
    counts,
    async [Symbol.asyncDispose] () {
      stopShowing()
      clearInterval(tokenTimer)
      await Promise.all([tcp[Symbol.asyncDispose](), webSocket[Symbol.asyncDispose]()])
      await closeAedes()
      for (const connection of connections) connection.destroy()
      for (const rate of [commandRate, topicRate]) rate[Symbol.dispose]()
      // Their ends are still to be reported; what they leave unacknowledged must be known now.
      for (const session of registry.all()) session.close()
    }
  }
}

async function withDeadline (ms: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  await Promise.race([work, new Promise<void>(resolve => { timer = setTimeout(resolve, ms) })])
  clearTimeout(timer)
}
