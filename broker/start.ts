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
import { Aedes, type AedesOptions } from 'aedes'
import { type Duplex } from 'node:stream'
import { type Logger } from 'pino'
import { type Messaging } from '../messaging/start.ts'
import { connectionOf } from './aedes-client.ts'
import { authenticate, preConnect } from './connect.ts'
import { fencedEmitter } from './emitter.ts'
import { authorizeForward } from './forward.ts'
import { listenTcp, listenWebSocket } from './listeners.ts'
import { limitPackets } from './packet-limit.ts'
import { fencedPersistence } from './persistence.ts'
import { authorizePublish } from './publish.ts'
import { connectRedisTopics } from './redis-topics.ts'
import { SessionRegistry } from './session-registry.ts'
import { authorizeSubscribe, followSubscriptions } from './subscribe.ts'

const CONNECT_TIMEOUT_MS = 10_000
const TOKEN_CHECK_MS = 10_000
const CLOSE_TIMEOUT_MS = 5_000

export interface BrokerOptions {
  host: string
  mqttPort: number
  wsPort: number
  /** Where topics granted by `acl` are shared with other nodes; undefined: in memory. */
  redisUrl?: string
}
export interface Broker extends AsyncDisposable { mqttPort: number, wsPort: number }

export async function startBroker ({ host, mqttPort, wsPort, redisUrl }: BrokerOptions, { messaging, log }: { messaging: Messaging, log: Logger }): Promise<Broker> {
  const registry = new SessionRegistry()
  const connectDeps = { messaging, registry, log }
  const shared = redisUrl === undefined ? undefined : connectRedisTopics(redisUrl, log)
  const aedes = await Aedes.createBroker({
    connectTimeout: CONNECT_TIMEOUT_MS,
    mq: fencedEmitter(shared?.emitter),
    persistence: fencedPersistence(registry, shared?.persistence),
    preConnect: (client, packet, done) => preConnect(connectDeps, client, packet, done),
    authenticate: (client, _user, _password, done) => authenticate(log, client, done),
    authorizeSubscribe: (client, subscription, done) => authorizeSubscribe(log, client, subscription, done),
    authorizePublish: (client, packet, done) => authorizePublish({ messaging, log }, client, packet, done),
    authorizeForward
  } satisfies AedesOptions)
  followSubscriptions(aedes, messaging)
  aedes.on('clientError', (client, error) => log.debug({ client_id: client.id, err: error }, 'a connection failed'))
  aedes.on('connectionError', (_, error) => log.debug({ err: error }, 'a connection failed before its CONNECT'))
  ;(aedes as NodeJS.EventEmitter).on('error', error => log.error({ err: error }, 'the broker reported an error'))

  const connections = new Set<Duplex>()
  function accept (connection: Duplex): void {
    connections.add(connection)
    const client = aedes.handle(connection)
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
    if (session !== undefined && session.lease < lease) session.disconnect('the device connected to another node')
  })

  const closeAedes = async (): Promise<void> => {
    await withDeadline(CLOSE_TIMEOUT_MS, new Promise(resolve => aedes.close(() => resolve())))
    await shared?.[Symbol.asyncDispose]()
  }
  const [tcp, webSocket] = await Promise.all([
    listenTcp({ host, port: mqttPort, variable: 'MQTT_PORT' }, accept),
    listenWebSocket({ host, port: wsPort, variable: 'WS_PORT' }, accept)
  ]).catch(async (error: unknown) => {
    await closeAedes()
    throw error
  })

  const tokenTimer = setInterval(() => {
    const now = Date.now() / 1000
    for (const session of registry.all()) if (session.identity.expiresAt < now) session.disconnect('its token has expired')
  }, TOKEN_CHECK_MS)

  return {
    mqttPort: tcp.port,
    wsPort: webSocket.port,
    async [Symbol.asyncDispose] () {
      clearInterval(tokenTimer)
      await Promise.all([tcp[Symbol.asyncDispose](), webSocket[Symbol.asyncDispose]()])
      await closeAedes()
      for (const connection of connections) connection.destroy()
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
