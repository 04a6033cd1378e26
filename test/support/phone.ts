/** A phone: an MQTT client that keeps what its inbox brings. */
import mqtt from 'mqtt'

export interface InboxEvent {
  seq: number
  epoch: string
  type: string
  [field: string]: any
}

export interface Phone extends AsyncDisposable {
  client: mqtt.MqttClient
  sessionPresent: boolean
  /** In the order of arrival, with repetitions. */
  events: InboxEvent[]
  /** Payloads on the other topics. */
  others: Array<{ topic: string, payload: any }>
  /** Sends the PUBACKs that a paused phone has held back. */
  acknowledgeAll (): void
}

export interface PhoneOptions {
  userId: string
  deviceId: string
  token: string
  port: number
  /** This machine by default. */
  host?: string
  over?: 'tcp' | 'ws'
  /** With it, the connection is TLS. */
  ca?: Buffer
  /** 60 by default. */
  keepaliveS?: number
  clean?: boolean
  subscribe?: string[]
  paused?: boolean
}

const PROTOCOLS = { tcp: ['mqtt', 'mqtts'], ws: ['ws', 'wss'] } as const

export async function connectPhone ({
  userId, deviceId, token, port, host = 'localhost', over = 'tcp', ca, keepaliveS, clean = false,
  subscribe = [`user/${userId}/inbox`], paused = false
}: PhoneOptions): Promise<Phone> {
  const client = mqtt.connect({
    ...(over === 'ws' ? { path: '/mqtt' } : {}),
    protocol: PROTOCOLS[over][ca === undefined ? 0 : 1],
    host,
    port,
    ca,
    clientId: deviceId,
    username: userId,
    password: token,
    keepalive: keepaliveS,
    clean,
    protocolVersion: 4,
    reconnectPeriod: 0
  })
  const held: Array<() => void> = []
  if (paused) {
    // This client acknowledges when its handler is done.
    client.handleMessage = (_, done) => { held.push(done) }
  }
  const events: InboxEvent[] = []
  const others: Phone['others'] = []
  client.on('message', (topic, payload) => {
    const value = JSON.parse(payload.toString())
    if (topic === `user/${userId}/inbox`) events.push(value)
    else others.push({ topic, payload: value })
  })
  const sessionPresent = await new Promise<boolean>((resolve, reject) => {
    client.once('connect', packet => resolve(packet.sessionPresent))
    client.once('error', reject)
    client.once('close', () => reject(new Error('the connection was closed')))
  })
  client.on('error', () => {})
  if (subscribe.length > 0) await client.subscribeAsync(subscribe, { qos: 1 })
  return {
    client,
    sessionPresent,
    events,
    others,
    acknowledgeAll () { for (const acknowledge of held.splice(0)) acknowledge() },
    async [Symbol.asyncDispose] () { await client.endAsync(true) }
  }
}

export const seqs = (events: InboxEvent[]): number[] => events.map(event => event.seq)

export const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i)
