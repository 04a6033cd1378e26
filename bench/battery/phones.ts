/** The phone that is measured, over each door: the clients of docs/clients.md, and no more than they do. */
import { once } from 'node:events'
import { type TLSSocket } from 'node:tls'
import mqtt, { type MqttClient } from 'mqtt'
import { WebSocket } from 'ws'

/** Far from any ping: those are sent by hand. */
const KEEPALIVE_S = 3_600

export interface Phone {
  /** Events of the inbox so far. */
  readonly received: number
  command (command: object): void
  /** A PINGREQ. Where the server asks instead, nothing. */
  ping (): void
  /** Gone without a word, as in a tunnel. */
  vanish (): Promise<void>
}

export interface Dial {
  port: number
  userId: string
  token: string
  deviceId: string
  /** The certificate to trust, with TLS. */
  ca: Buffer | undefined
  /** A stored session (clean=false); JSON has no other. */
  stored: boolean
  /** Of an earlier TLS connection: it need not shake hands in full. */
  ticket?: Buffer
  onTicket? (ticket: Buffer): void
}

export async function connectMqtt (scheme: 'mqtt' | 'ws', {
  port, userId, token, deviceId, ca, stored, ticket, onTicket
}: Dial): Promise<Phone> {
  const url = `${scheme}${ca === undefined ? '' : 's'}://localhost:${port}${scheme === 'ws' ? '/mqtt' : ''}`
  const options = { ca, session: ticket, servername: 'localhost' }
  const client: MqttClient = mqtt.connect(url, {
    ...options,
    wsOptions: options,
    protocolVersion: 4,
    clientId: deviceId,
    username: userId,
    password: token,
    clean: !stored,
    keepalive: KEEPALIVE_S,
    reconnectPeriod: 0
  })
  if (onTicket !== undefined) (client.stream as unknown as TLSSocket).on('session', onTicket)
  let received = 0
  client.handleMessage = ({ topic }: { topic?: string }, done) => {
    if (topic?.endsWith('/inbox') === true) received++
    done()
  }
  client.on('error', () => {})
  await new Promise(resolve => client.once('connect', resolve))
  await client.subscribeAsync([`user/${userId}/inbox`, `user/${userId}/replies`], { qos: 1 })
  return {
    get received () { return received },
    command (command) { client.publish(`user/${userId}/outbox`, JSON.stringify(command), { qos: 1 }) },
    ping () { client.sendPing() },
    async vanish () {
      const closed = new Promise(resolve => client.once('close', () => resolve(undefined)))
      client.stream.destroy()
      await closed
      client.end(true)
    }
  }
}

export async function connectJson ({ port, token, deviceId, ca }: Dial): Promise<Phone> {
  const socket = new WebSocket(`ws${ca === undefined ? '' : 's'}://localhost:${port}/ws`, {
    ca, headers: { authorization: `Bearer ${token}`, 'x-device-id': deviceId }, perMessageDeflate: false
  })
  let received = 0
  socket.on('message', data => {
    const { seq } = JSON.parse(String(data)) as { seq?: number }
    if (seq === undefined) return
    received++
    socket.send(JSON.stringify({ type: 'ack', seq }))
  })
  socket.on('error', () => {})
  await once(socket, 'open')
  return {
    get received () { return received },
    command (command) { socket.send(JSON.stringify(command)) },
    ping () {},
    async vanish () {
      const closed = once(socket, 'close')
      socket.terminate()
      await closed
    }
  }
}
