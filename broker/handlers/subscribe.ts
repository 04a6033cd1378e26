/** SUBSCRIBE: decided filter by filter, for a restored session too; delivery begins after the SUBACK. */
import { type Aedes, type Client, type Subscription } from 'aedes'
import { type Logger } from 'pino'
import { subscriptionKind } from '../access.ts'
import { connectionOf } from '../aedes/client.ts'
import { type DeviceConnection } from '../inbox/device-connection.ts'
import { watchAsObserver } from '../inbox/observers.ts'
import { type Messaging } from '../../messaging/start.ts'

type Callback = (error: Error | null, subscription?: Subscription | null) => void

/** Null is Aedes's way to refuse one filter: 0x80 in the SUBACK [MQTT-3.9.3]. */
export function authorizeSubscribe (
  log: Logger, client: Client, subscription: Subscription, done: Callback
): void {
  const { session } = connectionOf(client)
  session?.touch()
  const allowed = session !== undefined && isAllowed(session, subscription.topic)
  if (!allowed) {
    log.info({ user_id: session?.userId, filter: subscription.topic }, 'a subscription was refused')
  }
  done(null, allowed ? subscription : null)
}

// Counted here and not when it is stored: one SUBSCRIBE may bring thousands.
function isAllowed (session: DeviceConnection, filter: string): boolean {
  const kind = subscriptionKind(session.identity, filter)
  return kind === 'own' || (kind !== undefined && session.subscriptions.hold(filter))
}

const REFUSED = 128

export function followSubscriptions (aedes: Aedes, messaging: Messaging): void {
  aedes.on('subscribe', (subscriptions, client) => {
    const { session } = connectionOf(client)
    if (session === undefined) return
    const granted = subscriptions.filter(({ qos }) => (qos as number) !== REFUSED)
    const kindOf = (filter: string) => subscriptionKind(session.identity, filter)
    const own = granted.filter(({ topic }) => kindOf(topic) === 'own')
    if (own.length > 0) session.subscribed(own.map(({ topic, qos }) => ({ topic, qos: qos as 0 | 1 | 2 })))
    for (const { topic } of granted) {
      if (kindOf(topic) === 'observed') watchAsObserver(messaging, session, topic)
    }
  })
  aedes.on('unsubscribe', (filters, client) => {
    const { session } = connectionOf(client)
    session?.unsubscribed(filters)
    for (const filter of filters) session?.observed?.delete(filter)
  })
  // The session is restored and its CONNACK written.
  aedes.on('clientReady', client => {
    const { session } = connectionOf(client)
    session?.restored()
    session?.queue?.start()
  })
}
