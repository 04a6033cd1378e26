/** Topics granted by `acl` over two brokers and one Redis: ordinary MQTT that outlives its broker. */
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt'
import { generate, parser, type Packet } from 'mqtt-packet'
import { connect as connectSocket } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { MAX_QUEUED_MESSAGES } from '../../broker/acl/scripts-redis.ts'
import { startCluster, type TestCluster } from '../support/cluster.ts'
import { token, tokenWith, type EchoProcess } from '../support/echo-process.ts'
import { connectPhone, range, type Phone } from '../support/phone.ts'
import { restClient } from '../support/rest.ts'
import { until } from '../support/until.ts'

let cluster: TestCluster
let brokers: EchoProcess[]
let api: EchoProcess

beforeAll(async () => {
  cluster = await startCluster()
  const [a, b, c] =
    await Promise.all(['broker', 'broker', 'api'].map(role => cluster.start(role, { RATE_LIMIT_SENDS: '0' })))
  brokers = [a!, b!]
  api = c!
})
afterAll(async () => { await cluster?.[Symbol.asyncDispose]() })

const GRANT = { acl: { pub: ['iot/#'], sub: ['iot/#'] } }
const grantedToken = (userId: string): Promise<string> => tokenWith(userId, GRANT)

interface Device extends AsyncDisposable {
  client: MqttClient
  sessionPresent: boolean
  received: Array<{ topic: string, text: string, dup: boolean, retain: boolean }>
}

interface DeviceOptions extends Omit<IClientOptions, 'will'> {
  will?: IClientOptions['will']
  /** Goes on with what an earlier connection of the device has kept in flight. */
  after?: Device
  /** Gets everything that comes, on whatever connection. */
  into?: Device['received']
}

async function device (
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

const numbers = ({ received }: Pick<Device, 'received'>): number[] => received.map(({ text }) => Number(text))
const publishAll = async (
  { client }: Device, topic: string, texts: number[], qos: 1 | 2
): Promise<void> => { await Promise.all(texts.map(n => client.publishAsync(topic, `${n}`, { qos }))) }
const newStores = (): Pick<IClientOptions, 'incomingStore' | 'outgoingStore'> =>
  ({ incomingStore: new mqtt.Store({ clean: false }), outgoingStore: new mqtt.Store({ clean: false }) })

for (const qos of [1, 2] as const) {
  test(`what is published with QoS ${qos} while a device is away comes to it on any broker, once and in order, whichever broker is killed`, {
    timeout: 60_000
  }, async () => {
    const topic = `iot/away/${qos}`
    const away = await device(brokers[0]!, `away-${qos}`)
    await away.client.subscribeAsync([topic, 'iot/other/#'], { qos })
    await away[Symbol.asyncDispose]()
    const doomed = await cluster.start('broker', { RATE_LIMIT_SENDS: '0' })
    {
      const author = await device(doomed, 'author')
      await publishAll(author, topic, range(1, 150), qos)
      await author.client.publishAsync(topic, 'kept', { qos, retain: true })
      await doomed.kill()
      author.client.end(true)
    }
    await using back = await device(brokers[1]!, `away-${qos}`)
    expect(back.sessionPresent).toBe(true)
    await until(() => back.received.length >= 151, 'all came')
    await using author = await device(brokers[0]!, 'author')
    await publishAll(author, topic, range(152, 160), qos)
    await until(() => back.received.at(-1)?.text === '160', 'what is published now comes after it')
    expect(numbers({ received: back.received.filter(({ text }) => text !== 'kept') })).toEqual([
      ...range(1, 150), ...range(152, 160)
    ])
    await using newcomer = await device(brokers[1]!, 'newcomer', { clean: true })
    await newcomer.client.subscribeAsync('iot/away/+', { qos })
    await until(
      () => newcomer.received.some(message => message.topic === topic), 'the retained message comes'
    )
    expect(newcomer.received.find(message => message.topic === topic)).toMatchObject({
      text: 'kept', retain: true
    })
  })

  test(`a device with QoS ${qos} that keeps losing its connection and changing its broker gets a continuous stream in order and not twice`, {
    timeout: 60_000
  }, async () => {
    const topic = `iot/stream/${qos}`
    const userId = `stream-${qos}`
    const into: Device['received'] = []
    const stores = newStores()
    let thing = await device(brokers[0]!, userId, { into, ...stores })
    await thing.client.subscribeAsync(topic, { qos })
    await using author = await device(brokers[1]!, 'author', { clientId: `author-${qos}` })
    const run = { stopping: false }
    let sent = 0
    const publishing = (async () => {
      while (!run.stopping) await publishAll(author, topic, range(sent + 1, sent += 5), qos)
    })()
    for (const n of range(1, 12)) {
      const before = into.length
      await until(() => into.length > before + 40, 'it gets some')
      // The socket is cut with messages in flight; the last third of the cuts is a take-over.
      if (n <= 8) thing.client.stream.destroy()
      const older = thing
      thing = await device(brokers[n % 2]!, userId, { into, ...stores })
      expect(thing.sessionPresent).toBe(true)
      older.client.end(true)
    }
    run.stopping = true
    await publishing
    await until(() => into.at(-1)?.text === `${sent}`, 'it has all')
    await thing[Symbol.asyncDispose]()
    const again = into.filter(({ text }, i) => into.findIndex(message => message.text === text) !== i)
    // With QoS 1 what was not acknowledged at the cut comes again, and says so.
    expect(again.filter(({ dup }) => qos === 2 || !dup)).toEqual([])
    expect(numbers({ received: into.filter(message => !again.includes(message)) })).toEqual(range(1, sent))
  })
}

/** A connection of which the test decides every packet. */
async function raw (
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

test('a QoS 2 handshake goes on where it was, on another broker after the first was killed', {
  timeout: 60_000
}, async () => {
  const doomed = await cluster.start('broker', { RATE_LIMIT_SENDS: '0' })
  const before = await raw(doomed, 'shaking')
  before.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'iot/shaking', qos: 2 }] })
  await until(() => before.received.some(({ cmd }) => cmd === 'suback'), 'it is subscribed')
  await using author = await device(brokers[0]!, 'author', { clientId: 'shaker' })
  await publishAll(author, 'iot/shaking', [1, 2, 3], 2)
  const publishes = (packets: Packet[]): any[] => packets.filter(({ cmd }) => cmd === 'publish')
  await until(() => publishes(before.received).length === 3, 'all came')
  const [first, second, third] = publishes(before.received).map(({ messageId }) => messageId)
  before.send({ cmd: 'pubrec', messageId: first })
  before.send({ cmd: 'pubrec', messageId: second })
  await until(() => before.received.filter(({ cmd }) => cmd === 'pubrel').length === 2, 'two are released')
  before.send({ cmd: 'pubcomp', messageId: first })
  // Sent by the device and not released when its broker dies.
  before.send({
    cmd: 'publish',
    topic: 'iot/answer',
    payload: Buffer.from('4'),
    qos: 2,
    messageId: 9,
    dup: false,
    retain: false
  })
  await until(
    () => before.received.some(({ cmd, messageId }) => cmd === 'pubrec' && messageId === 9), 'it is received'
  )
  await until(
    async () => Number(await cluster.redis.ask('zcard', 'echo:acl:released:shaking/thing')) === 1,
    'the first is done with'
  )
  await doomed.kill()
  before.cut()

  await using reader = await device(brokers[0]!, 'reader')
  await reader.client.subscribeAsync('iot/answer', { qos: 2 })
  const after = await raw(brokers[1]!, 'shaking')
  await until(() => publishes(after.received).length === 1, 'the third comes again')
  expect(after.received.filter(({ cmd }) => cmd === 'pubrel').map(({ messageId }) => messageId)).toEqual([
    second
  ])
  expect(publishes(after.received)).toMatchObject([{ messageId: third, dup: true }])
  after.send({
    cmd: 'publish',
    topic: 'iot/answer',
    payload: Buffer.from('4'),
    qos: 2,
    messageId: 9,
    dup: true,
    retain: false
  })
  after.send({ cmd: 'pubrel', messageId: 9 })
  await until(
    () => after.received.some(({ cmd, messageId }) => cmd === 'pubcomp' && messageId === 9),
    'the handshake is complete'
  )
  await publishAll(author, 'iot/answer', [5], 2)
  await until(() => reader.received.length > 0, 'the next one comes')
  expect(numbers(reader)).toEqual([5])
  after.cut()
})

test('a retained message with QoS 2 is delivered to a stored session like any other', async () => {
  await using author = await device(brokers[0]!, 'author', { clientId: 'retainer' })
  await author.client.publishAsync('iot/retained', '1', { qos: 2, retain: true })
  await using reader = await device(brokers[1]!, 'retained-reader')
  await reader.client.subscribeAsync('iot/retained', { qos: 2 })
  await until(() => reader.received.length === 1, 'it came')
  await publishAll(author, 'iot/retained', [2], 2)
  await until(() => reader.received.length === 2, 'the connection goes on')
  expect(reader.received.map(({ text, retain }) => [text, retain])).toEqual([['1', true], ['2', false]])
})

test('the queue of a session that is away keeps the newest', { timeout: 60_000 }, async () => {
  const away = await device(brokers[0]!, 'hoarder')
  await away.client.subscribeAsync('iot/hoard', { qos: 1 })
  await away[Symbol.asyncDispose]()
  await using author = await device(brokers[1]!, 'author', { clientId: 'flood' })
  const n = MAX_QUEUED_MESSAGES + 200
  await publishAll(author, 'iot/hoard', range(1, n), 1)
  expect(await cluster.redis.ask('xlen', 'echo:acl:queue:hoarder/thing')).toBe(MAX_QUEUED_MESSAGES)
  await using back = await device(brokers[1]!, 'hoarder')
  await until(() => back.received.at(-1)?.text === `${n}`, 'the newest came')
  expect(numbers(back)).toEqual(range(201, n))
})

test('a session is found through any filter that matches, gets a message once, and nothing after UNSUBSCRIBE or a clean CONNECT', async () => {
  await using author = await device(brokers[1]!, 'author', { clientId: 'filters' })
  const topic = 'iot/f/a//b'
  const matching = ['iot/f/a//b', 'iot/f/+/+/b', 'iot/f/#', 'iot/f/a//b/#', 'iot/+/a/#']
  const missing = ['iot/f/a', 'iot/f/a/b', 'iot/f/+/b', 'iot/f/a//b/+']
  {
    await using thing = await device(brokers[0]!, 'filters')
    for (const filter of [...matching, ...missing]) {
      await thing.client.subscribeAsync(filter, { qos: 1 })
      await publishAll(author, topic, [1], 1)
      if (matching.includes(filter)) {
        await until(() => thing.received.length === 1, `it came through ${filter}`)
      }
      await thing.client.unsubscribeAsync(filter)
      await thing.client.subscribeAsync('iot/f-end', { qos: 1 })
      await publishAll(author, 'iot/f-end', [2], 1)
      await until(() => thing.received.at(-1)?.text === '2', 'the last one came')
      expect(numbers(thing)).toEqual(matching.includes(filter) ? [1, 2] : [2])
      thing.received.length = 0
    }
    await thing.client.subscribeAsync(matching, { qos: 1 })
    await publishAll(author, topic, [3, 4], 1)
    await until(() => thing.received.at(-1)?.text === '4', 'the last one came')
    expect(numbers(thing)).toEqual([3, 4])
  }
  await (await device(brokers[1]!, 'filters', { clean: true }))[Symbol.asyncDispose]()
  await publishAll(author, topic, [5], 1)
  await using thing = await device(brokers[0]!, 'filters')
  expect(thing.sessionPresent).toBe(false)
  await thing.client.subscribeAsync('iot/f-end', { qos: 1 })
  await publishAll(author, 'iot/f-end', [6], 1)
  await until(() => thing.received.length > 0, 'the last one came')
  expect(numbers(thing)).toEqual([6])
  expect(await cluster.redis.ask(
    'exists', 'echo:acl:filter:iot/f/#', 'echo:acl:filter:iot/f/+/+/b', 'echo:acl:filter:iot/f/a//b'
  )).toBe(0)
})

const WILL = { topic: 'iot/will', payload: Buffer.from('gone'), qos: 1 as const, retain: false }

test('a will comes once when the connection is cut or taken over on another broker, and not after DISCONNECT', async () => {
  await using watcher = await device(brokers[1]!, 'watcher')
  await watcher.client.subscribeAsync('iot/will', { qos: 1 })
  await using author = await device(brokers[1]!, 'author', { clientId: 'wills' })
  /** Everything that has come until a message that was published now. */
  async function seen (mark: string): Promise<string[]> {
    await author.client.publishAsync('iot/will', mark, { qos: 1 })
    await until(() => watcher.received.at(-1)?.text === mark, 'the mark came')
    return watcher.received.splice(0).map(({ text }) => text).slice(0, -1)
  }
  const gone = (): Promise<unknown> => until(() => watcher.received.length > 0, 'the will came')

  const cut = await device(brokers[0]!, 'willing', { will: WILL })
  cut.client.stream.destroy()
  await gone()
  expect(await seen('cut')).toEqual(['gone'])

  const leaving = await device(brokers[0]!, 'willing', { will: WILL })
  await leaving.client.endAsync()
  // The node that had the connection has taken the will away.
  await until(async () => Number(await cluster.redis.ask(
    'eval',
    "local n = 0 for _, b in ipairs(redis.call('smembers', 'echo:acl:will-brokers')) do n = n + redis.call('hexists', 'echo:acl:wills:' .. b, ARGV[1]) end return n",
    '0', 'willing/thing'
  )) === 0, 'the will is removed')
  expect(await seen('left')).toEqual([])

  const older = await device(brokers[0]!, 'willing', { will: WILL })
  let closed = false
  older.client.on('close', () => { closed = true })
  const newer =
    await device(brokers[1]!, 'willing', { will: { ...WILL, payload: Buffer.from('newer gone') } })
  await until(() => closed, 'the older connection is closed')
  await gone()
  expect(await seen('taken over')).toEqual(['gone'])
  newer.client.stream.destroy()
  await gone()
  expect(await seen('cut again')).toEqual(['newer gone'])
})

test('the will of a device whose broker was killed is published once by another one', {
  timeout: 90_000
}, async () => {
  await using watcher = await device(brokers[1]!, 'watcher', { clientId: 'other' })
  await watcher.client.subscribeAsync('iot/late-will', { qos: 1 })
  const doomed = await cluster.start('broker')
  const willing = await device(doomed, 'late', { will: { ...WILL, topic: 'iot/late-will' } })
  await doomed.kill()
  willing.client.end(true)
  await until(() => watcher.received.length > 0, 'the will came', 70_000)
  await until(
    async () => Number(await cluster.redis.ask('scard', 'echo:acl:will-brokers')) <= 2,
    'the dead broker is forgotten', 20_000
  )
  await using author = await device(brokers[0]!, 'author', { clientId: 'late' })
  await publishAll(author, 'iot/late-will', [1], 1)
  await until(() => watcher.received.at(-1)?.text === '1', 'the mark came')
  expect(watcher.received.map(({ text }) => text)).toEqual(['gone', '1'])
})

test('a broker that is asked to stop publishes the wills of its connections', {
  timeout: 60_000
}, async () => {
  await using watcher = await device(brokers[1]!, 'watcher', { clientId: 'stop' })
  await watcher.client.subscribeAsync('iot/stop-will', { qos: 1 })
  const leaving = await cluster.start('broker')
  const willing = await device(leaving, 'stopped', { will: { ...WILL, topic: 'iot/stop-will' } })
  expect(await leaving.stop()).toBe(0)
  willing.client.end(true)
  await until(() => watcher.received.length === 1, 'the will came')
})

test('a Redis that loses everything loses no subscription of a connected device', {
  timeout: 60_000
}, async () => {
  await using thing = await device(brokers[0]!, 'flushed')
  await thing.client.subscribeAsync('iot/flushed', { qos: 1 })
  await using author = await device(brokers[1]!, 'author', { clientId: 'flusher' })
  await publishAll(author, 'iot/flushed', range(1, 10), 1)
  await until(() => thing.received.length === 10, 'all came')
  await cluster.redis.ask('flushall')
  await until(async () => {
    await publishAll(author, 'iot/flushed', [11], 1)
    return thing.received.length > 10
  }, 'messages come again', 10_000)
})

/** False: the connection was closed instead. */
const acknowledged = (
  thing: MqttClient, topic: string, text: string
): Promise<boolean> => new Promise(resolve => {
  if (!thing.connected) return resolve(false)
  thing.once('close', () => resolve(false))
  thing.publishAsync(topic, text, { qos: 1 }).then(() => resolve(true), () => resolve(false))
})

test('while Redis is away nothing on acl topics is acknowledged, and subscribers hear again when it is back', {
  timeout: 60_000
}, async () => {
  await using thing = await device(brokers[0]!, 'outage', { clean: true })
  await using author = await device(brokers[1]!, 'author', { clientId: 'outage' })
  await thing.client.subscribeAsync('iot/outage', { qos: 1 })
  await cluster.redis.kill()
  try {
    expect(await acknowledged(author.client, 'iot/outage', 'lost')).toBe(false)
    // No answer is better than one that leaves it deaf.
    let granted = false
    const subscribing =
      thing.client.subscribeAsync('iot/outage-too', { qos: 1 }).then(() => { granted = true })
    await expect(until(() => granted, 'it is granted', 1_500)).rejects.toThrow('still not true')
    await cluster.redis.start()
    await subscribing
    await until(async () => {
      await using again = await device(brokers[1]!, 'author', { clientId: 'outage' }).catch(() => undefined)
      return again !== undefined && await acknowledged(again.client, 'iot/outage-too', '1') &&
        await acknowledged(again.client, 'iot/outage', '2') && new Set(numbers(thing)).size === 2
    }, 'it hears both', 20_000)
  } finally {
    if (!await cluster.redis.ask('ping').catch(() => false)) await cluster.redis.start()
  }
})

for (const how of ['hangs', 'is away']) {
  test(`phones do not notice that Redis ${how}: CONNECT, SUBSCRIBE, commands with every QoS, UNSUBSCRIBE`, {
    timeout: 60_000
  }, async () => {
    const rest = restClient(api.api, await token('pia'))
    const conversation =
      (await rest('POST', '/conversations', { type: 'direct', participant_ids: ['paul'] })).body.id
    const phone = async (userId: string, clean: boolean): Promise<Phone> => await connectPhone({
      userId,
      deviceId: `phone-${clean}`,
      token: await token(userId),
      port: brokers[0]!.mqttPort,
      clean,
      subscribe: []
    })
    if (how === 'hangs') cluster.redis.pause()
    else await cluster.redis.kill()
    try {
      const startedAt = performance.now()
      for (const clean of [true, false, false]) {
        await using pia = await phone('pia', clean)
        await pia.client.subscribeAsync(['user/pia/inbox', 'user/pia/live', 'user/pia/replies'], { qos: 1 })
        for (const qos of [0, 1, 2] as const) {
          const id = `${how}-${clean}-${qos}-${performance.now()}`
          await pia.client.publishAsync('user/pia/outbox', JSON.stringify({
            type: 'send_message',
            conversation_id: conversation,
            content: id,
            message_type: 'text',
            client_message_id: id,
            request_id: id
          }), { qos })
          await until(() => pia.others.some(
            ({ payload }) => payload.type === 'accepted' && payload.client_message_id === id
          ), `the command with QoS ${qos} is accepted`)
        }
        await pia.client.unsubscribeAsync('user/pia/live')
      }
      expect(performance.now() - startedAt).toBeLessThan(4_000)
    } finally {
      if (how === 'hangs') cluster.redis.resume()
      else await cluster.redis.start()
    }
  })
}
