/** Topics granted by `acl` over two brokers and one Redis: stored sessions that outlive their broker. */
import { type Packet } from 'mqtt-packet'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { MAX_QUEUED_MESSAGES } from '../../broker/acl/scripts-redis.ts'
import {
  connectDevice, connectRaw, newStores, numbers, publishAll, type Device
} from '../support/acl-devices.ts'
import { startCluster, type TestCluster } from '../support/cluster.ts'
import { type EchoProcess } from '../support/echo-process.ts'
import { range } from '../support/phone.ts'
import { until } from '../support/until.ts'

let cluster: TestCluster
let brokers: EchoProcess[]

beforeAll(async () => {
  cluster = await startCluster()
  brokers = await Promise.all([1, 2].map(() => cluster.start('broker', { RATE_LIMIT_SENDS: '0' })))
})
afterAll(async () => { await cluster?.[Symbol.asyncDispose]() })
for (const qos of [1, 2] as const) {
  test(`what is published with QoS ${qos} while a device is away comes to it on any broker, once and in order, whichever broker is killed`, async () => {
    const topic = `iot/away/${qos}`
    const away = await connectDevice(brokers[0]!, `away-${qos}`)
    await away.client.subscribeAsync([topic, 'iot/other/#'], { qos })
    await away[Symbol.asyncDispose]()
    const doomed = await cluster.start('broker', { RATE_LIMIT_SENDS: '0' })
    {
      const author = await connectDevice(doomed, 'author')
      await publishAll(author, topic, range(1, 150), qos)
      await author.client.publishAsync(topic, 'kept', { qos, retain: true })
      await doomed.kill()
      author.client.end(true)
    }
    await using back = await connectDevice(brokers[1]!, `away-${qos}`)
    expect(back.sessionPresent).toBe(true)
    await until(() => back.received.length >= 151, 'all came')
    await using author = await connectDevice(brokers[0]!, 'author')
    await publishAll(author, topic, range(152, 160), qos)
    await until(() => back.received.at(-1)?.text === '160', 'what is published now comes after it')
    expect(numbers({ received: back.received.filter(({ text }) => text !== 'kept') })).toEqual([
      ...range(1, 150), ...range(152, 160)
    ])
    await using newcomer = await connectDevice(brokers[1]!, 'newcomer', { clean: true })
    await newcomer.client.subscribeAsync('iot/away/+', { qos })
    await until(
      () => newcomer.received.some(message => message.topic === topic), 'the retained message comes'
    )
    expect(newcomer.received.find(message => message.topic === topic)).toMatchObject({
      text: 'kept', retain: true
    })
  })

  test(`a device with QoS ${qos} that keeps losing its connection and changing its broker gets a continuous stream in order and not twice`, async () => {
    const topic = `iot/stream/${qos}`
    const userId = `stream-${qos}`
    const into: Device['received'] = []
    const stores = newStores()
    let thing = await connectDevice(brokers[0]!, userId, { into, ...stores })
    await thing.client.subscribeAsync(topic, { qos })
    await using author = await connectDevice(brokers[1]!, 'author', { clientId: `author-${qos}` })
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
      thing = await connectDevice(brokers[n % 2]!, userId, { into, ...stores })
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

test('a QoS 2 handshake goes on where it was, on another broker after the first was killed', async () => {
  const doomed = await cluster.start('broker', { RATE_LIMIT_SENDS: '0' })
  const before = await connectRaw(doomed, 'shaking')
  before.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'iot/shaking', qos: 2 }] })
  await until(() => before.received.some(({ cmd }) => cmd === 'suback'), 'it is subscribed')
  await using author = await connectDevice(brokers[0]!, 'author', { clientId: 'shaker' })
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

  await using reader = await connectDevice(brokers[0]!, 'reader')
  await reader.client.subscribeAsync('iot/answer', { qos: 2 })
  const after = await connectRaw(brokers[1]!, 'shaking')
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
  await using author = await connectDevice(brokers[0]!, 'author', { clientId: 'retainer' })
  await author.client.publishAsync('iot/retained', '1', { qos: 2, retain: true })
  await using reader = await connectDevice(brokers[1]!, 'retained-reader')
  await reader.client.subscribeAsync('iot/retained', { qos: 2 })
  await until(() => reader.received.length === 1, 'it came')
  await publishAll(author, 'iot/retained', [2], 2)
  await until(() => reader.received.length === 2, 'the connection goes on')
  expect(reader.received.map(({ text, retain }) => [text, retain])).toEqual([['1', true], ['2', false]])
})

test('the queue of a session that is away keeps the newest', async () => {
  const away = await connectDevice(brokers[0]!, 'hoarder')
  await away.client.subscribeAsync('iot/hoard', { qos: 1 })
  await away[Symbol.asyncDispose]()
  await using author = await connectDevice(brokers[1]!, 'author', { clientId: 'flood' })
  const n = MAX_QUEUED_MESSAGES + 200
  await publishAll(author, 'iot/hoard', range(1, n), 1)
  expect(await cluster.redis.ask('xlen', 'echo:acl:queue:hoarder/thing')).toBe(MAX_QUEUED_MESSAGES)
  await using back = await connectDevice(brokers[1]!, 'hoarder')
  await until(() => back.received.at(-1)?.text === `${n}`, 'the newest came')
  expect(numbers(back)).toEqual(range(201, n))
})

test('a session is found through any filter that matches, gets a message once, and nothing after UNSUBSCRIBE or a clean CONNECT', async () => {
  await using author = await connectDevice(brokers[1]!, 'author', { clientId: 'filters' })
  const topic = 'iot/f/a//b'
  const matching = ['iot/f/a//b', 'iot/f/+/+/b', 'iot/f/#', 'iot/f/a//b/#', 'iot/+/a/#']
  const missing = ['iot/f/a', 'iot/f/a/b', 'iot/f/+/b', 'iot/f/a//b/+']
  {
    await using thing = await connectDevice(brokers[0]!, 'filters')
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
  await (await connectDevice(brokers[1]!, 'filters', { clean: true }))[Symbol.asyncDispose]()
  await publishAll(author, topic, [5], 1)
  await using thing = await connectDevice(brokers[0]!, 'filters')
  expect(thing.sessionPresent).toBe(false)
  await thing.client.subscribeAsync('iot/f-end', { qos: 1 })
  await publishAll(author, 'iot/f-end', [6], 1)
  await until(() => thing.received.length > 0, 'the last one came')
  expect(numbers(thing)).toEqual([6])
  expect(await cluster.redis.ask(
    'exists', 'echo:acl:filter:iot/f/#', 'echo:acl:filter:iot/f/+/+/b', 'echo:acl:filter:iot/f/a//b'
  )).toBe(0)
})
