/** IoT-style devices: clients of topics that their tokens grant, and raw connections of such devices. */
import { connect as connectSocket } from 'node:net'
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt'
import { generate, parser, type Packet } from 'mqtt-packet'
import { tokenWith, type EchoProcess } from './echo-process.ts'
import { until } from './until.ts'

const GRANT = { acl: { pub: ['iot/#'], sub: ['iot/#'] } }
const grantedToken = (userId: string): Promise<string> => tokenWith(userId, GRANT)

export interface Device extends AsyncDisposable {
  client: MqttClient
  sessionPresent: boolean
  received: Array<{ topic: string, text: string, dup: boolean, retain: boolean }>
}

export interface DeviceOptions extends Omit<IClientOptions, 'will'> {
  will?: IClientOptions['will']
  /** Goes on with what an earlier connection of the device has kept in flight. */
  after?: Device
  /** Gets everything that comes, on whatever connection. */
  into?: Device['received']
}

export async function connectDevice (
  broker: EchoProcess, userId: string, { after, into = [], ...options }: DeviceOptions = {}
): Promise<Device> {
  const client = mqtt.connect({
    port: broker.mqttPort,
    clientId: 'thing',
    username: userId,
    password: await grantedToken(userId),
    clean: false,
    protocolVersion: 4,
    reconnectPeriod: 0,
    ...after === undefined
      ? {}
      : {
          incomingStore: after.client.options.incomingStore, outgoingStore: after.client.options.outgoingStore
        },
    ...options
  })
  const received = into
  client.on('message', (topic, payload, packet) =>
    received.push({ topic, text: payload.toString(), dup: packet.dup, retain: packet.retain }))
  client.on('error', () => {})
  const sessionPresent = await new Promise<boolean>((resolve, reject) => {
    client.once('connect', packet => resolve(packet.sessionPresent))
    client.once('close', () => reject(new Error('the connection was closed')))
  })
  return { client, sessionPresent, received, async [Symbol.asyncDispose] () { await client.endAsync(true) } }
}

export const numbers = ({ received }: Pick<Device, 'received'>): number[] =>
  received.map(({ text }) => Number(text))
export const publishAll = async (
  { client }: Device, topic: string, texts: number[], qos: 1 | 2
): Promise<void> => { await Promise.all(texts.map(n => client.publishAsync(topic, `${n}`, { qos }))) }
export const newStores = (): Pick<IClientOptions, 'incomingStore' | 'outgoingStore'> =>
  ({ incomingStore: new mqtt.Store({ clean: false }), outgoingStore: new mqtt.Store({ clean: false }) })

/** A connection of which the test decides every packet. */
export async function connectRaw (
  broker: EchoProcess, userId: string, clean = false
): Promise<{ received: Packet[], send: (packet: Packet) => void, cut: () => void }> {
  const socket = connectSocket(broker.mqttPort, '127.0.0.1')
  const received: Packet[] = []
  const parse = parser()
  parse.on('packet', packet => received.push(packet))
  socket.on('data', data => parse.parse(data)).on('error', () => {})
  const send = (packet: Packet): void => { socket.write(generate(packet)) }
  send({
    cmd: 'connect',
    clientId: 'thing',
    username: userId,
    password: Buffer.from(await grantedToken(userId)),
    clean,
    keepalive: 60,
    protocolId: 'MQTT',
    protocolVersion: 4
  })
  await until(() => received.some(({ cmd }) => cmd === 'connack'), 'it is connected')
  return { received, send, cut: () => socket.destroy() }
}
