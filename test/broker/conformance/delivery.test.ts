/** MQTT 3.1.1, clause by clause: what is delivered, how often, and with which QoS, DUP and RETAIN. */
import { generate, type IPublishPacket, type Packet } from 'mqtt-packet'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  publishPacket, startTestBroker, subscribePacket, type RawClient, type RawConnect, type TestBroker
} from '../../support/broker.ts'
import { startTestRedis, type TestRedis } from '../../support/cluster.ts'
import { scratchFolder } from '../../support/echo-process.ts'
import { until } from '../../support/until.ts'

const SENSORS = { claims: { acl: { pub: ['s/#', 's'], sub: ['s/#'] } } }

type Subscriptions = Array<[topic: string, qos: 0 | 1 | 2]>
const subscribeTo = (subscriptions: Subscriptions): Packet => ({
  cmd: 'subscribe', messageId: 1, subscriptions: subscriptions.map(([topic, qos]) => ({ topic, qos }))
} as Packet)
const retained = (topic: string, payload: string, qos: 0 | 1 | 2 = 0, messageId?: number): Packet =>
  ({ ...publishPacket(topic, payload, qos, messageId), retain: true } as Packet)

describe.for(['in memory', 'in Redis'])('%s', where => {
  let folder: Awaited<ReturnType<typeof scratchFolder>>
  let redis: TestRedis | undefined
  let broker: TestBroker
  beforeAll(async () => {
    folder = await scratchFolder()
    redis = where === 'in Redis' ? await startTestRedis(folder.path) : undefined
    broker = await startTestBroker({ broker: { redisUrl: redis?.url } })
  })
  afterAll(async () => {
    await broker?.[Symbol.asyncDispose]()
    await redis?.[Symbol.asyncDispose]()
    await folder?.[Symbol.asyncDispose]()
  })

  let users = 0
  const connect = (options: Partial<RawConnect> = {}): Promise<RawClient> =>
    broker.rawDevice(`user-${++users}`, { ...SENSORS, ...options })

  /** A handshake of the publisher; afterwards the message is where it goes. */
  async function publish (packet: Packet): Promise<void> {
    using raw = await connect()
    raw.packet(packet)
    const { qos, messageId } = packet as IPublishPacket
    if (qos === 1) await raw.nth('puback', 1)
    if (qos === 2) {
      await raw.nth('pubrec', 1)
      raw.packet({ cmd: 'pubrel', messageId: messageId! })
      await raw.nth('pubcomp', 1)
    }
    raw.packet({ cmd: 'pingreq' })
    await raw.nth('pingresp', 1)
  }

  /** What came, after everything that was sent to it before has come. */
  async function got (raw: RawClient, mark: string): Promise<Array<[payload: string, qos: number]>> {
    await publish(publishPacket(mark, 'mark', 0))
    await until(() => raw.of('publish').some(({ payload }) => payload.toString() === 'mark'), 'the mark came')
    return raw.of('publish').filter(({ payload }) => payload.toString() !== 'mark')
      .map(({ payload, qos }) => [payload.toString(), qos])
  }

  const cases: Array<[what: string, filters: Subscriptions, published: 0 | 1 | 2, delivered: 0 | 1 | 2]> = [
    ['a wildcard with QoS 0', [['s/T/#', 0]], 2, 0],
    ['a wildcard with QoS 1', [['s/T/#', 1]], 2, 1],
    ['a wildcard with QoS 2', [['s/T/+', 2]], 1, 1],
    ['overlapping wildcards', [['s/T/#', 1], ['s/T/+', 2]], 2, 2],
    ['a wildcard above its own filter', [['s/T/a', 1], ['s/T/#', 2]], 2, 2],
    ['a wildcard below its own filter', [['s/T/a', 2], ['s/T/#', 0]], 2, 2],
    ['filters with QoS 0 and 1', [['s/T/+', 0], ['s/T/#', 1]], 1, 1],
    ['filters with QoS 0', [['s/T/+', 0], ['s/T/#', 0], ['s/T/a', 0]], 1, 0],
    ['a message with QoS 0', [['s/T/+', 2], ['s/T/#', 1]], 0, 0]
  ]
  let topics = 0
  for (const clean of [true, false]) {
    const session = clean ? 'a clean session' : 'a stored session'
    test.for(cases)(`3.3.5-1, 3.8.4-6: ${session} with %s gets it once, with the QoS it is granted`, async ([
      , filters, published, delivered
    ]) => {
      const topic = `s/${++topics}`
      using raw = await connect({ clean })
      raw.packet(subscribeTo([...filters.map(([filter, qos]): [string, 0 | 1 | 2] =>
        [filter.replace('s/T', topic), qos]), [`s/mark/${topics}`, 0]]))
      await raw.nth('suback', 1)
      await publish(publishPacket(`${topic}/a`, 'x', published, 1))
      await until(() => raw.of('publish').length > 0, 'it came')
      expect(await got(raw, `s/mark/${topics}`)).toEqual([['x', delivered]])
    })
  }

  test('3.3.5-1: a session that was away gets it once, with the QoS it is granted', async () => {
    const user = `user-${++users}`
    const options = { ...SENSORS, clean: false }
    const first = await broker.rawDevice(user, options)
    first.packet(subscribeTo([['s/away/+', 1], ['s/away/#', 0], ['s/away/mark', 0]]))
    await first.nth('suback', 1)
    first[Symbol.dispose]()
    await until(() => [...broker.messaging.connections.of(user)].length === 0, 'it is away')
    await publish(publishPacket('s/away/a', 'x', 2, 1))
    using again = await broker.rawDevice(user, options)
    await again.nth('publish', 1)
    expect(await got(again, 's/away/mark')).toEqual([['x', 1]])
  })

  test.for(cases)('3.3.5-1, 3.3.1-8: %s brings the retained message once, with the QoS it is granted', async ([
    , filters, published, delivered
  ]) => {
    const topic = `s/${++topics}`
    await publish(retained(`${topic}/a`, 'x', published, 1))
    using raw = await connect()
    raw.packet(subscribeTo([...filters.map(([filter, qos]): [string, 0 | 1 | 2] =>
      [filter.replace('s/T', topic), qos]), [`s/mark/${topics}`, 0]]))
    await raw.nth('publish', 1)
    expect(raw.of('publish')[0]).toMatchObject({ retain: true, dup: false })
    expect(await got(raw, `s/mark/${topics}`)).toEqual([['x', delivered]])
  })

  test.for<[filter: string, topic: string]>([
    ['s/e1/+', 's/e1/'], ['s/e2/+/x', 's/e2//x'], ['s/e3/+/+', 's/e3//'], ['s/e4/#', 's/e4/'],
    ['s/e5/#', 's/e5']
  ])('4.7.1-3: %s finds the retained message of %s, and hears of new ones', async ([filter, topic]) => {
    await publish(retained(topic, 'old', 1, 1))
    for (const clean of [true, false]) {
      using raw = await connect({ clean })
      raw.packet(subscribePacket(1, filter, 1))
      expect(await raw.nth('publish', 1)).toMatchObject({ topic, retain: true })
      await publish(publishPacket(topic, 'new', 1, 1))
      expect(await raw.nth('publish', 2)).toMatchObject({ topic, retain: false })
    }
  })

  test.for(['s/[a]', 's/*', 's/?', 's/\\\\', 's/[^a]', 's/ü', 's/.'])('4.7.3-4: %s is a topic like any other', async topic => {
    await publish(retained(`${topic}/x`, 'old', 1, 1))
    for (const filter of [`${topic}/x`, `${topic}/+`, `${topic}/#`]) {
      using raw = await connect()
      raw.packet(subscribePacket(1, filter, 1))
      expect(await raw.nth('publish', 1)).toMatchObject({ topic: `${topic}/x`, retain: true })
      await publish(publishPacket(`${topic}/x`, 'new', 1, 1))
      expect(await raw.nth('publish', 2)).toMatchObject({ topic: `${topic}/x`, retain: false })
    }
  })

  test('4.7.1-3: a subscriber to a topic with * leaves one to + its messages', async () => {
    using literal = await connect()
    using wild = await connect()
    for (const [raw, filter] of [[literal, 's/star/*'], [wild, 's/star/+']] as const) {
      raw.packet(subscribePacket(1, filter, 0))
      await raw.nth('suback', 1)
    }
    await publish(publishPacket('s/star/a', 'x'))
    expect((await wild.nth('publish', 1)).topic).toBe('s/star/a')
  })

  test('3.3.1-6, 3.8.4-3: to subscribe again brings the retained message again, and no message twice', async () => {
    await publish(retained('s/again/a', 'x', 1, 1))
    using raw = await connect()
    for (const [n, qos] of [1, 0, 1].entries()) {
      raw.packet(subscribePacket(n + 1, 's/again/#', qos as 0 | 1))
      expect((await raw.nth('publish', n + 1)).qos).toBe(qos)
    }
    await publish(publishPacket('s/again/a', 'y', 1, 1))
    await raw.nth('publish', 4)
    expect((await got(raw, 's/again/mark')).slice(3)).toEqual([['y', 1]])
  })

  test('3.3.1-10, 3.3.1-11: an empty retained message removes the one that is there, and is delivered', async () => {
    using raw = await connect()
    raw.packet(subscribePacket(1, 's/empty/#', 1))
    await raw.nth('suback', 1)
    await publish(retained('s/empty/a', 'x', 1, 1))
    await publish(retained('s/empty/a', '', 1, 1))
    await until(() => raw.of('publish').length === 2, 'both came')
    expect(raw.of('publish').map(({ payload, retain }) => [payload.toString(), retain])).toEqual([
      ['x', false], ['', false]
    ])
    using later = await connect()
    later.packet(subscribePacket(1, 's/empty/#', 1))
    await later.nth('suback', 1)
    expect(await got(later, 's/empty/mark')).toEqual([])
  })

  test.for([0, 1, 2] as const)('4.6: a retained PUBLISH with QoS %i and a SUBSCRIBE in one segment bring it once', async qos => {
    for (const clean of [true, false]) {
      const topic = `s/segment/${qos}/${clean}`
      using raw = await connect({ clean })
      raw.bytes(Buffer.concat([retained(topic, 'x', qos, 1), subscribePacket(2, topic, 2)]
        .map(packet => generate(packet))))
      expect(await raw.nth('publish', 1)).toMatchObject({ retain: true })
      expect(await got(raw, topic)).toEqual([['x', qos]])
    }
  })

  test('4.6: a PUBLISH behind a SUBSCRIBE in one segment is heard', async () => {
    for (const clean of [true, false]) {
      using raw = await connect({ clean })
      raw.bytes(Buffer.concat([subscribePacket(1, 's/behind', 1), publishPacket('s/behind', 'x', 1, 2)]
        .map(packet => generate(packet))))
      expect((await raw.nth('publish', 1)).payload.toString()).toBe('x')
    }
  })

  test('3.3.1-3: DUP of a publisher is not passed on', async () => {
    for (const clean of [true, false]) {
      using raw = await connect({ clean })
      raw.packet(subscribePacket(1, 's/dup/#', 2))
      await raw.nth('suback', 1)
      await publish({ ...publishPacket('s/dup/a', 'x', 1, 1), dup: true } as Packet)
      await publish({ ...publishPacket('s/dup/a', 'y', 2, 1), dup: true } as Packet)
      await raw.nth('publish', 2)
      expect(raw.of('publish').map(({ dup }) => dup)).toEqual([false, false])
    }
  })

  test('4.3.3-2: a QoS 2 message that is sent again with DUP before its PUBREL is delivered once', async () => {
    using reader = await connect()
    reader.packet(subscribePacket(1, 's/once/#', 2))
    await reader.nth('suback', 1)
    const user = `user-${++users}`
    const first = await broker.rawDevice(user, { ...SENSORS, clean: false })
    first.packet(publishPacket('s/once/a', 'x', 2, 7))
    await first.nth('pubrec', 1)
    first[Symbol.dispose]()
    using again = await broker.rawDevice(user, { ...SENSORS, clean: false })
    again.packet({ ...publishPacket('s/once/a', 'x', 2, 7), dup: true } as Packet)
    await again.nth('pubrec', 1)
    again.packet({ cmd: 'pubrel', messageId: 7 })
    await again.nth('pubcomp', 1)
    expect(await got(reader, 's/once/mark')).toEqual([['x', 2]])
  })

  test('4.7.2-1: a filter that begins with a wildcard does not match $SYS', async () => {
    using admin = await broker.rawDevice('root', { claims: { scope: 'admin' } })
    admin.packet(subscribeTo([['#', 0], ['+/+/new/clients', 0]]))
    await admin.nth('suback', 1)
    using other = await connect()
    other.packet({ cmd: 'pingreq' })
    await other.nth('pingresp', 1)
    await publish(publishPacket('s/wild', 'x'))
    await until(() => admin.of('publish').some(({ topic }) => topic === 's/wild'), 'another topic came')
    expect(admin.of('publish').filter(({ topic }) => topic.startsWith('$'))).toEqual([])
  })

  test('a PUBREL releases its identifier, so that QoS 2 has no end [MQTT-4.3.3-2]', async () => {
    using raw = await connect()
    // More in all than may be open at once.
    for (let n = 100; n <= 1_100; n += 100) {
      const ids = Array.from({ length: 100 }, (_, i) => n - i)
      for (const id of ids) raw.packet(publishPacket('s/released', `${id}`, 2, id))
      await until(() => raw.closed || raw.of('pubrec').length === n, 'all have come')
      for (const messageId of ids) raw.packet({ cmd: 'pubrel', messageId })
      await until(() => raw.closed || raw.of('pubcomp').length === n, 'all are complete')
    }
    expect(raw.closed).toBe(false)
  })
})
