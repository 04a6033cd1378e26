/** MQTT 3.1.1, clause by clause: stored sessions, what is sent again to them, and take-over. */
import { type Packet } from 'mqtt-packet'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  pubackPacket, publishPacket, startTestBroker, subscribePacket, type RawClient, type RawConnect,
  type TestBroker
} from '../../support/broker.ts'
import { startTestRedis, type TestRedis } from '../../support/cluster.ts'
import { scratchFolder } from '../../support/echo-process.ts'
import { until } from '../../support/until.ts'

const SENSORS = { claims: { acl: { pub: ['s/#'], sub: ['s/#'] } } }
const OF_WHAT = { 'a phone': {}, 'a device with `acl`': SENSORS }

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
  const newUser = (): string => `user-${++users}`

  async function isPresent (user: string, options: Partial<RawConnect> & object): Promise<boolean> {
    const raw = await broker.rawDevice(user, options)
    const { sessionPresent } = raw.of('connack')[0]!
    raw.packet({ cmd: 'disconnect' } as Packet)
    await until(() => raw.closed, 'it is closed')
    return sessionPresent
  }

  for (const [who, claims] of Object.entries(OF_WHAT)) {
    test(`3.2.2-2: the session of ${who} without subscriptions is present when it comes back`, async () => {
      const user = newUser()
      const stored = { ...claims, clean: false }
      expect(await isPresent(user, stored)).toBe(false)
      expect(await isPresent(user, stored)).toBe(true)
      expect(await isPresent(user, { ...stored, clientId: 'another' })).toBe(false)
    })

    test(`3.1.2-6, 3.2.2-1: a clean session of ${who} is never present, and ends the stored one`, async () => {
      const user = newUser()
      const stored = { ...claims, clean: false }
      await isPresent(user, stored)
      expect(await isPresent(user, { ...claims, clean: true })).toBe(false)
      expect(await isPresent(user, stored)).toBe(false)
      expect(await isPresent(user, stored)).toBe(true)
    })

    test(`3.2.2-2: the session of ${who} is present after all its subscriptions are gone`, async () => {
      const user = newUser()
      const stored = { ...claims, clean: false }
      const raw = await broker.rawDevice(user, stored)
      const filter = who === 'a phone' ? `user/${user}/inbox` : 's/1'
      raw.packet(subscribePacket(1, filter))
      raw.packet({ cmd: 'unsubscribe', messageId: 2, unsubscriptions: [filter] } as Packet)
      await raw.nth('unsuback', 1)
      raw[Symbol.dispose]()
      expect(await isPresent(user, stored)).toBe(true)
    })

    test(`3.1.4-2: of two connections of ${who} the later one stays, and finds the session of the first`, async () => {
      const user = newUser()
      const stored = { ...claims, clean: false }
      using first = await broker.rawDevice(user, stored)
      using second = await broker.rawDevice(user, stored)
      expect(second.of('connack')[0]!.sessionPresent).toBe(true)
      await until(() => first.closed, 'the first is closed')
      second.packet({ cmd: 'pingreq' })
      await second.nth('pingresp', 1)
    })
  }

  async function comeBack (
    user: string, options: Partial<RawConnect> & object, first: RawClient, how: string
  ): Promise<RawClient> {
    if (how === 'comes back') {
      first[Symbol.dispose]()
      await until(() => [...broker.messaging.connections.of(user)].length === 0, 'it is away')
    }
    return await broker.rawDevice(user, options)
  }

  test.for(['comes back', 'is taken over'])('3.3.1-1, 4.4.0-1: to a session that %s what was not acknowledged comes again, with its identifier and DUP', async how => {
    const user = newUser()
    const stored = { ...SENSORS, clean: false }
    using publisher = await broker.rawDevice(newUser(), SENSORS)
    const first = await broker.rawDevice(user, stored)
    first.packet(subscribePacket(1, `s/${user}`, 2))
    await first.nth('suback', 1)
    for (const [id, qos] of [[1, 1], [2, 2], [3, 1]] as const) {
      publisher.packet(publishPacket(`s/${user}`, `${id}`, qos, id))
      await first.nth('publish', id)
    }
    first.packet(pubackPacket(first.of('publish')[2]!.messageId!))
    first.packet({ cmd: 'pingreq' })
    await first.nth('pingresp', 1)
    using second = await comeBack(user, stored, first, how)
    await second.nth('publish', 2)
    publisher.packet(publishPacket(`s/${user}`, 'new', 1, 4))
    await second.nth('publish', 3)
    const brought = (raw: RawClient) => raw.of('publish').map(({ payload, qos, messageId }) =>
      [payload.toString(), qos, messageId])
    expect(brought(second).slice(0, 2)).toEqual(brought(first).slice(0, 2))
    expect(first.of('publish').map(({ dup }) => dup)).toEqual([false, false, false])
    expect(second.of('publish').map(({ dup }) => dup)).toEqual([true, true, false])
  })

  test.for(['comes back', 'is taken over'])('4.3.3-1: to a session that %s after PUBREC the PUBREL comes again, and not the message', async how => {
    const user = newUser()
    const stored = { ...SENSORS, clean: false }
    using publisher = await broker.rawDevice(newUser(), SENSORS)
    const first = await broker.rawDevice(user, stored)
    first.packet(subscribePacket(1, `s/${user}`, 2))
    await first.nth('suback', 1)
    publisher.packet(publishPacket(`s/${user}`, 'x', 2, 1))
    const { messageId } = await first.nth('publish', 1)
    first.packet({ cmd: 'pubrec', messageId: messageId! } as Packet)
    await first.nth('pubrel', 1)
    using second = await comeBack(user, stored, first, how)
    expect((await second.nth('pubrel', 1)).messageId).toBe(messageId)
    second.packet({ cmd: 'pubcomp', messageId: messageId! } as Packet)
    publisher.packet(publishPacket(`s/${user}`, 'y', 1, 2))
    expect((await second.nth('publish', 1)).payload.toString()).toBe('y')
  })

  test.for(['comes back', 'is taken over'])('3.3.1-1: to a device that %s the events it did not acknowledge come again with DUP, and new ones without', async how => {
    const [user, other] = [newUser(), newUser()]
    const stored = { clean: false }
    const first = await broker.rawDevice(user, stored)
    first.packet(subscribePacket(1, `user/${user}/inbox`))
    await first.nth('suback', 1)
    const conversation = await broker.direct(other, user)
    for (const content of ['a', 'b']) await broker.say(other, conversation, content)
    await first.nth('publish', 3)
    first.packet(pubackPacket(first.of('publish')[0]!.messageId!))
    await until(async () => (await broker.sql(
      'select acked_seq::int as seq from devices where user_id = $1', user
    ))[0]?.seq === 1, 'the cursor has moved')
    if (how === 'comes back') {
      first[Symbol.dispose]()
      await until(() => [...broker.messaging.connections.of(user)].length === 0, 'it is away')
      await broker.say(other, conversation, 'while away')
    }
    using second = await broker.rawDevice(user, stored)
    await broker.say(other, conversation, 'now')
    const n = how === 'comes back' ? 4 : 3
    await second.nth('publish', n)
    expect(first.of('publish').map(({ dup }) => dup)).toEqual([false, false, false])
    expect(second.of('publish').map(({ dup }) => dup)).toEqual([true, true, false, false].slice(0, n))
    expect(second.of('publish').slice(0, 2).map(({ messageId }) => messageId))
      .toEqual(first.of('publish').slice(1).map(({ messageId }) => messageId))
  })

  test('3.1.2-8: the will of a connection that is taken over is published, once', async () => {
    const user = newUser()
    const will = { topic: `s/will/${user}`, payload: Buffer.from('gone'), qos: 1 as const, retain: false }
    using reader = await broker.rawDevice(newUser(), SENSORS)
    reader.packet(subscribePacket(1, 's/will/#'))
    await reader.nth('suback', 1)
    using first = await broker.rawDevice(user, { ...SENSORS, will })
    using second = await broker.rawDevice(user, SENSORS)
    await until(() => first.closed, 'the first is closed')
    await reader.nth('publish', 1)
    second.packet(publishPacket('s/will/mark', 'mark', 1, 1))
    await until(() => reader.of('publish').some(({ topic }) => topic === 's/will/mark'), 'the mark came')
    expect(reader.of('publish').map(({ payload }) => payload.toString())).toEqual(['gone', 'mark'])
  })

  test('3.1.2-8: of two connections of one device each has its own will', async () => {
    const user = newUser()
    const withWill = (text: string, clean: boolean) => ({
      ...SENSORS,
      clean,
      will: { topic: `s/wills/${user}`, payload: Buffer.from(text), qos: 1 as const, retain: false }
    })
    using reader = await broker.rawDevice(newUser(), SENSORS)
    reader.packet(subscribePacket(1, 's/wills/#'))
    await reader.nth('suback', 1)
    for (const clean of [true, false]) {
      using first = await broker.rawDevice(user, withWill('first', clean))
      first.packet(subscribePacket(1, 's/other/#'))
      await first.nth('suback', 1)
      const second = await broker.rawDevice(user, withWill('second', clean))
      await until(() => first.closed, 'the first is closed')
      second[Symbol.dispose]()
      await until(() => [...broker.messaging.connections.of(user)].length === 0, 'it is gone')
    }
    await reader.nth('publish', 4)
    expect(reader.of('publish').map(({ payload }) => payload.toString())).toEqual([
      'first', 'second', 'first', 'second'
    ])
  })
})

test('3.3.1-1: after a restart what may have been sent says so, and what came later does not', async () => {
  await using broker = await startTestBroker()
  const conversation = await broker.direct('bob', 'ann')
  await broker.say('bob', conversation, 'sent by another node')
  // As another node left it: a session with a cursor, of which this one knows nothing.
  await broker.sql(
    'insert into devices (user_id, device_id, acked_seq, subscriptions) values ($1, $2, 1, $3)',
    'ann', 'raw', JSON.stringify([{ topic: 'user/ann/inbox', qos: 1 }])
  )
  using phone = await broker.rawDevice('ann', { clean: false })
  await phone.nth('publish', 1)
  await broker.say('bob', conversation, 'new')
  await phone.nth('publish', 2)
  expect(phone.of('publish').map(({ dup }) => dup)).toEqual([true, false])
})
