/**
 * SUBSCRIBE and UNSUBSCRIBE. A SUBSCRIBE is decided filter by filter, and delivery begins after the SUBACK.
 *
 * What is refused costs no more than its bytes: Aedes is given the filters that are granted, and the
 * SUBACK is written here. It has a code for every filter of the packet [MQTT-3.8.4-5], repeated ones and
 * those beyond the limit too, where Aedes would leave the repeated ones out. The connection goes on:
 * a client that was closed for its filters would come back with the same ones.
 */
import { type Aedes, type Client, type Subscription } from 'aedes'
import { generate, type ISubscribePacket, type IUnsubscribePacket } from 'mqtt-packet'
import { type Logger } from 'pino'
import { type Messaging } from '../../messaging/start.ts'
import { subscriptionKind } from '../access.ts'
import { type AclTopics } from '../acl/topics-memory.ts'
import { asEchoClient, type EchoClient } from '../aedes/client.ts'
import { ClientFault } from '../connection-errors.ts'
import { type DeviceConnection } from '../inbox/device-connection.ts'
import { watchAsObserver } from '../inbox/observers.ts'
import { type RateLimit } from '../limits/rate.ts'

type Done = (error?: Error | null) => void
type Callback = (error: Error | null, subscription?: Subscription | null) => void

/** Of one user, in SUBSCRIBE and UNSUBSCRIBE. */
export const FILTERS_PER_SECOND = 200
const REFUSED = 128
/** What the log shows of the filters that one packet was refused. */
const SHOWN_FILTERS = 3
const SHOWN_CHARACTERS = 100

export interface FilterDeps { log: Logger, filterRate: RateLimit }

export function subscribe (
  deps: FilterDeps, client: EchoClient, packet: ISubscribePacket & { refused?: number }, done: Done
): void {
  grantFilters(deps, client, packet).then(() => done(), done)
}

async function grantFilters (
  { log, filterRate }: FilterDeps, client: EchoClient,
  { messageId, subscriptions, refused = 0 }: ISubscribePacket & { refused?: number }
): Promise<void> {
  const connection = await takeTurn(filterRate, client, subscriptions.length)
  const codes = subscriptions.map(({ topic, qos }) => isAllowed(connection, topic) ? qos : REFUSED)
  const granted = new Map<string, Subscription>() // of a repeated filter the last one counts
  subscriptions.forEach(({ topic, qos }, i) => {
    if (codes[i] !== REFUSED) granted.set(topic, { topic, qos })
  })
  const denied = subscriptions.filter((_, i) => codes[i] === REFUSED)
  if (denied.length + refused > 0) {
    log.info({
      user_id: connection.userId,
      refused: denied.length + refused,
      filters: denied.slice(0, SHOWN_FILTERS).map(({ topic }) => topic.slice(0, SHOWN_CHARACTERS))
    }, 'subscriptions were refused')
  }
  for (let i = 0; i < refused; i++) codes.push(REFUSED)
  const answer = (): void => {
    connection.socket.write(generate({ cmd: 'suback', messageId: messageId!, granted: codes }))
  }
  if (granted.size === 0) answer()
  else {
    await new Promise<void>((resolve, reject) => {
      // Without an identifier Aedes sends no SUBACK. What it does next, it does when this has returned.
      client.subscribe([...granted.values()], error => {
        if (error != null) return reject(error)
        answer()
        resolve()
      })
    })
  }
  await connection.socket.drained()
}

export function unsubscribe (
  { filterRate }: FilterDeps, client: EchoClient, packet: IUnsubscribePacket, done: Done
): void {
  takeTurn(filterRate, client, packet.unsubscriptions.length)
    .then(() => new Promise<void>((resolve, reject) => {
      client.unsubscribe(packet as never, error => error == null ? resolve() : reject(error))
    }))
    .then(() => done(), done)
}

async function takeTurn (
  filterRate: RateLimit, { connection }: EchoClient, filters: number
): Promise<DeviceConnection> {
  if (connection === undefined) throw new ClientFault('not connected')
  connection.touch()
  connection.refreshKeepalive()
  const turn = filterRate.take(connection.userId, connection, filters)
  if (turn !== undefined) {
    await turn
    connection.refreshKeepalive()
  }
  if (connection.closed) throw new ClientFault('the connection closed before its filters were looked at')
  return connection
}

/** Asked for each filter of a restored session. Null is Aedes's way to refuse. */
export function authorizeSubscribe (client: Client, subscription: Subscription, done: Callback): void {
  const { connection } = asEchoClient(client)
  const allowed = connection !== undefined && isAllowed(connection, subscription.topic)
  done(null, allowed ? subscription : null)
}

// Counted here and not when it is stored: one SUBSCRIBE may bring hundreds.
function isAllowed (connection: DeviceConnection, filter: string): boolean {
  const kind = subscriptionKind(connection.identity, filter)
  return kind === 'own' || (kind !== undefined && connection.subscriptions.hold(filter))
}

export interface SubscribeDeps {
  messaging: Messaging
  topics: Pick<AclTopics, 'queueOf'>
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
    topics.queueOf(connection)?.start()
  })
}
