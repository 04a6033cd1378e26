/** SUBSCRIBE: decided filter by filter, for a restored session too; delivery begins after the SUBACK. */
import { type Aedes, type Client, type Subscription } from 'aedes'
import { type Logger } from 'pino'
import { type Messaging } from '../../messaging/start.ts'
import { subscriptionKind } from '../access.ts'
import { type RedisTopics } from '../acl/topics-redis.ts'
import { asEchoClient } from '../aedes/client.ts'
import { type DeviceConnection } from '../inbox/device-connection.ts'
import { watchAsObserver } from '../inbox/observers.ts'

type Callback = (error: Error | null, subscription?: Subscription | null) => void

/** Null is Aedes's way to refuse one filter: 0x80 in the SUBACK [MQTT-3.9.3]. */
export function authorizeSubscribe (
  log: Logger, client: Client, subscription: Subscription, done: Callback
): void {
  const { connection } = asEchoClient(client)
  connection?.touch()
  const allowed = connection !== undefined && isAllowed(connection, subscription.topic)
  if (!allowed) {
    log.info({ user_id: connection?.userId, filter: subscription.topic }, 'a subscription was refused')
  }
  done(null, allowed ? subscription : null)
}

// Counted here and not when it is stored: one SUBSCRIBE may bring thousands.
function isAllowed (connection: DeviceConnection, filter: string): boolean {
  const kind = subscriptionKind(connection.identity, filter)
  return kind === 'own' || (kind !== undefined && connection.subscriptions.hold(filter))
}

const REFUSED = 128

export interface SubscribeDeps {
  messaging: Messaging
  topics?: Pick<RedisTopics, 'queueOf'>
}

export function followSubscriptions (aedes: Aedes, { messaging, topics }: SubscribeDeps): void {
  aedes.on('subscribe', (subscriptions, client) => {
    const { connection } = asEchoClient(client)
    if (connection === undefined) return
    const granted = subscriptions.filter(({ qos }) => (qos as number) !== REFUSED)
    const kindOf = (filter: string) => subscriptionKind(connection.identity, filter)
    const own = granted.filter(({ topic }) => kindOf(topic) === 'own')
    connection.subscriptions.add(own.map(({ topic, qos }) => ({ topic, qos: qos as 0 | 1 | 2 })))
    if (own.length > 0) connection.ownTopics.follow()
    for (const { topic } of granted) {
      if (kindOf(topic) === 'observed') watchAsObserver(messaging, connection, topic)
    }
  })
  aedes.on('unsubscribe', (filters, client) => {
    const { connection } = asEchoClient(client)
    if (connection === undefined) return
    connection.subscriptions.remove(filters)
    connection.ownTopics.follow()
    for (const filter of filters) connection.observed?.delete(filter)
  })
  // The session is restored and its CONNACK written.
  aedes.on('clientReady', client => {
    const { connection } = asEchoClient(client)
    if (connection === undefined) return
    connection.ownTopics.restored()
    topics?.queueOf(connection)?.start()
  })
}
