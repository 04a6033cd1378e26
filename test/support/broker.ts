/**
 * A broker with a database of its own, the devices that connect to it, and raw clients for what no
 * device would do.
 */
import { connect as connectSocket } from 'node:net'
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt'
import { generate, parser, type IConnectPacket, type Packet } from 'mqtt-packet'
import pg from 'pg'
import pino from 'pino'
import { startBroker, type Broker, type BrokerOptions } from '../../broker/start.ts'
import { readStatus } from '../../messaging/messages/history.ts'
import { startMessaging, type Messaging } from '../../messaging/start.ts'
import { type MessageDraft } from '../../core/message-rules.ts'
import { type DeliveryState, type MessageView } from '../../core/views.ts'
import { openDatabase } from '../../store/database.ts'
import { createDatabase, runSql, SERVER_VARIABLE } from './database.ts'
import { connectJson, type JsonDevice, type JsonDeviceOptions } from './json-device.ts'
import { SECRET, signToken, type TokenOptions } from './tokens.ts'
import { until } from './until.ts'

type Json = any

export interface Received { topic: string, payload: Buffer, qos: number, retain: boolean }

export interface DeviceOptions extends TokenOptions {
  deviceId?: string
  clean?: boolean
  over?: 'tcp' | 'ws'
  token?: string
  will?: IClientOptions['will']
  /** Filters to subscribe to with QoS 1 at once. */
  subscribe?: string[]
}

export interface Device extends AsyncDisposable {
  client: MqttClient
  sessionPresent: boolean
  /** Everything that came, in order. */
  received: Received[]
  on (topic: string): Json[]
  /** What the own inbox brought. */
  events: Json[]
  replies: Json[]
  /** Return codes of the SUBACK. */
  subscribe (filters: string | string[], qos?: 0 | 1 | 2): Promise<number[]>
  /** Publishes to the own outbox; resolves with the PUBACK, rejects when the connection closes before it. */
  command (command: object | string | Buffer, qos?: 0 | 1 | 2): Promise<void>
  /** Sends DISCONNECT and waits for the end. */
  leave (): Promise<void>
}

export interface RawClient extends Disposable {
  received: Packet[]
  closed: boolean
  /** Returns how many bytes wait for the broker to read. */
  bytes (data: Buffer): number
  unsent (): number
  packet (packet: Packet): void
  of<C extends Packet['cmd']> (cmd: C): Array<Extract<Packet, { cmd: C }>>
  /** The n-th packet of this kind, once it is there. */
  nth<C extends Packet['cmd']> (cmd: C, n: number): Promise<Extract<Packet, { cmd: C }>>
  /** Says that nothing more comes. */
  end (): void
  /** Stops reading from the socket. */
  freeze (): void
  thaw (): void
}

export type RawConnect = Omit<Partial<IConnectPacket>, 'password'> & { password: string }

type OfBroker = Pick<Broker, 'mqttPort' | 'mqttsPort' | 'wsPort' | 'counts' | 'jsonCounts'>

export interface TestBroker extends AsyncDisposable, OfBroker {
  messaging: Messaging
  /** Lines that were logged, as a warning or worse unless `logLevel` says otherwise. */
  logged: Json[]
  token (userId: string, options?: TokenOptions): Promise<string>
  device (userId: string, options?: DeviceOptions): Promise<Device>
  /** A device on the JSON WebSocket, with its token on the upgrade; without `deviceId` it is anonymous. */
  json (userId: string, options?: TokenOptions & JsonDeviceOptions): Promise<JsonDevice>
  raw (): RawClient
  /** A raw client that sent CONNECT and got a CONNACK. */
  rawDevice (userId: string, options?: TokenOptions & Partial<RawConnect>): Promise<RawClient>
  /** Return code of the CONNACK. */
  connack (connect: RawConnect): Promise<number>
  direct (a: string, b: string): Promise<string>
  group (admin: string, ...members: string[]): Promise<string>
  say (
    from: string, conversationId: string, content: string, draft?: Partial<MessageDraft>
  ): Promise<MessageView>
  status (sender: string, message: MessageView): Promise<DeliveryState>
  sql<Row = Json> (text: string, ...values: unknown[]): Promise<Row[]>
  /** A connection of the test's own, for transactions; release it. */
  connect (): Promise<pg.PoolClient>
  /** From now on the database refuses connections, until what is returned is called. */
  cutDatabase (): Promise<() => Promise<void>>
  /** Stops the broker and the messaging behind it; the database stays. */
  stop (): Promise<void>
}

export interface TestBrokerOptions {
  graceMs?: number
  stalledMs?: number
  sweepMs?: number
  offlineAfterMs?: number
  now?: () => number
  broker?: Partial<BrokerOptions>
  issuer?: string
  logLevel?: 'debug' | 'info' | 'warn'
  /** Puts something of the test's own in the place of parts of the messaging. */
  replace?: (messaging: Messaging) => Partial<Messaging>
}

export async function startTestBroker ({
  graceMs = 10_000, stalledMs, sweepMs, offlineAfterMs, now, broker: options = {}, issuer, logLevel = 'warn',
  replace = () => ({})
}: TestBrokerOptions = {}): Promise<TestBroker> {
  const logged: Json[] = []
  const log = pino({ level: logLevel }, { write: (line: string) => { logged.push(JSON.parse(line)) } })
  const file = await createDatabase()
  const database = openDatabase(file.url)
  const messaging = await startMessaging({
    database,
    authentication: { key: { kind: 'secret', secret: SECRET }, issuer },
    graceMs,
    stalledMs,
    sweepMs,
    offlineAfterMs,
    now,
    log
  })
  const broker = await startBroker({
    host: '127.0.0.1', mqttPort: 0, wsPort: 0, ...options
  }, { messaging: { ...messaging, ...replace(messaging) }, log })
  const sql = new pg.Pool({ connectionString: file.url, max: 2 })
  sql.on('error', () => {})
  const clients: Array<{ end (): void }> = []
  let stopped: Promise<void> | undefined

  async function stop (): Promise<void> {
    await broker[Symbol.asyncDispose]()
    await messaging[Symbol.asyncDispose]()
  }

  function raw (): RawClient {
    const client = openRaw(broker.mqttPort)
    clients.push({ end: () => client[Symbol.dispose]() })
    return client
  }

  return {
    mqttPort: broker.mqttPort,
    wsPort: broker.wsPort,
    mqttsPort: broker.mqttsPort,
    counts: broker.counts,
    jsonCounts: broker.jsonCounts,
    messaging,
    logged,
    token: (userId, options) => signToken(userId, { issuer, ...options }),

    async device (userId, options = {}) {
      const token = options.token ?? await signToken(userId, { issuer, ...options })
      const device = await connectDevice(broker, userId, token, options)
      clients.push({ end: () => { device.client.end(true) } })
      return device
    },

    async json (userId, options = {}) {
      const token = options.token ?? await signToken(userId, { issuer, ...options })
      const device = await connectJson(broker.wsPort, { ...options, token })
      clients.push({ end: () => device.ws.terminate() })
      return device
    },

    raw,

    async rawDevice (userId, { claims, expires, ...connect } = {}) {
      const client = raw()
      client.packet(connectPacket({
        clientId: 'raw', password: await signToken(userId, { issuer, claims, expires }), ...connect
      }))
      const { returnCode } = await client.nth('connack', 1)
      if (returnCode !== 0) throw new Error(`refused with ${returnCode}`)
      return client
    },

    async connack (connect) {
      using client = raw()
      client.packet(connectPacket(connect))
      return (await client.nth('connack', 1)).returnCode!
    },

    async direct (a, b) {
      return (await messaging.conversations.create(
        a, { type: 'direct', participant_ids: [b] }
      )).conversation.id
    },
    async group (admin, ...members) {
      return (await messaging.conversations.create(
        admin, { type: 'group', participant_ids: members }
      )).conversation.id
    },
    async say (from, conversation_id, content, draft = {}) {
      return (await messaging.sends.send({
        senderId: from, draft: { conversation_id, content, message_type: 'text', ...draft }
      })).message
    },
    status: async (sender, message) => (await readStatus(database.autocommit, sender, message.id)).status,
    sql: async (text, ...values) => (await sql.query(text, values)).rows,
    connect: () => sql.connect(),
    async cutDatabase () {
      const name = /\/(\w+)(\?|$)/.exec(file.url)![1]!
      const server = process.env[SERVER_VARIABLE]!
      await runSql(server, `alter database ${name} with allow_connections false`)
      await runSql(server, `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${name}'`)
      return () => runSql(server, `alter database ${name} with allow_connections true`)
    },
    stop: () => (stopped ??= stop()),

    async [Symbol.asyncDispose] () {
      for (const client of clients) client.end()
      await (stopped ??= stop())
      await database[Symbol.asyncDispose]()
      await sql.end()
      await file[Symbol.asyncDispose]()
    }
  }
}

async function connectDevice (
  { mqttPort, wsPort }: Broker, userId: string, token: string, options: DeviceOptions
): Promise<Device> {
  const { deviceId = 'phone', clean = false, over = 'tcp', will, subscribe = [] } = options
  const client = mqtt.connect({
    ...(over === 'tcp'
      ? { protocol: 'mqtt', port: mqttPort }
      : { protocol: 'ws', port: wsPort, path: '/mqtt' }),
    hostname: '127.0.0.1',
    protocolVersion: 4,
    reconnectPeriod: 0,
    clientId: deviceId,
    username: userId,
    password: token,
    clean,
    will
  })
  const received: Received[] = []
  client.on('message', (topic, payload, { qos, retain }) => received.push({ topic, payload, qos, retain }))
  const sessionPresent = await new Promise<boolean>((resolve, reject) => {
    client.once('connect', packet => resolve(packet.sessionPresent))
    client.once('error', reject)
    client.once('close', () => reject(new Error('the connection was closed')))
  })
  client.on('error', () => {})
  const on = (topic: string): Json[] =>
    received.filter(message => message.topic === topic).map(message => JSON.parse(message.payload.toString()))
  const device: Device = {
    client,
    sessionPresent,
    received,
    on,
    get events () { return on(`user/${userId}/inbox`) },
    get replies () { return on(`user/${userId}/replies`) },
    subscribe: async (filters, qos = 1) => await new Promise((resolve, reject) => {
      // A refused filter is an error to this client; the codes are in the packet all the same.
      client.subscribe(filters, { qos }, (error, _, packet) =>
        packet === undefined ? reject(error) : resolve(packet.granted as number[]))
    }),
    async command (command, qos = 1) {
      const payload = typeof command === 'string' || Buffer.isBuffer(command)
        ? command
        : JSON.stringify(command)
      await new Promise<void>((resolve, reject) => {
        const closed = (): void => reject(new Error('the connection closed before the PUBACK'))
        client.once('close', closed)
        client.publish(`user/${userId}/outbox`, payload, { qos }, error => {
          client.off('close', closed)
          error == null ? resolve() : reject(error)
        })
      })
    },
    leave: async () => { await client.endAsync() },
    async [Symbol.asyncDispose] () { await client.endAsync(true) }
  }
  if (subscribe.length > 0) await device.subscribe(subscribe)
  return device
}

export const connectPacket = (connect: RawConnect): Packet => ({
  cmd: 'connect',
  protocolId: 'MQTT',
  protocolVersion: 4,
  clean: true,
  clientId: 'raw',
  keepalive: 60,
  // A password without a user name is no valid CONNECT [MQTT-3.1.2-22].
  username: '',
  ...connect
} as unknown as Packet)

function openRaw (port: number): RawClient {
  const socket = connectSocket({ host: '127.0.0.1', port })
  const reader = parser({ protocolVersion: 4 })
  const client: RawClient = {
    received: [],
    closed: false,
    bytes: data => {
      socket.write(data)
      return socket.writableLength
    },
    unsent: () => socket.writableLength,
    packet: packet => { socket.write(generate(packet)) },
    of: cmd => client.received.filter(packet => packet.cmd === cmd) as never,
    nth: (cmd, n) => until(() => client.of(cmd)[n - 1], `${cmd} number ${n} has come`),
    end: () => { socket.end() },
    freeze: () => { socket.pause() },
    thaw: () => { socket.resume() },
    [Symbol.dispose]: () => { socket.destroy() }
  }
  reader.on('packet', packet => client.received.push(packet))
  reader.on('error', error => socket.destroy(error))
  socket.on('data', data => reader.parse(data))
  socket.on('error', () => {})
  socket.on('close', () => { client.closed = true })
  return client
}

export const publishPacket = (
  topic: string, payload: string, qos: 0 | 1 | 2 = 0, messageId?: number
): Packet =>
  ({ cmd: 'publish', topic, payload, qos, retain: false, dup: false, messageId } as Packet)

export const subscribePacket = (messageId: number, topic: string, qos: 0 | 1 | 2 = 1): Packet =>
  ({ cmd: 'subscribe', messageId, subscriptions: [{ topic, qos }] } as Packet)

export const pubackPacket = (messageId: number): Packet => ({ cmd: 'puback', messageId } as Packet)

/** 1, 2, …, n after `after`. */
export const seqsAfter = (after: number, n: number): number[] =>
  Array.from({ length: n }, (_, i) => after + i + 1)
