/** SUBSCRIBE: what is granted, what is refused, and that what is refused leaves no trace. */
import { generate } from 'mqtt-packet'
import { expect, test } from 'vitest'
import {
  connectPacket, publishPacket, seqsAfter, startTestBroker, subscribePacket
} from '../../support/broker.ts'
import { until } from '../../support/until.ts'

const REFUSED = 128
const ADMIN = { claims: { scope: 'admin' } }
const SENSORS = { claims: { acl: { pub: ['sensors/#'], sub: ['sensors/#'] } } }

test('the own topics are granted', async () => {
  await using broker = await startTestBroker()
  const phone = await broker.device('ann')
  for (const filter of ['user/ann/inbox', 'user/ann/live', 'user/ann/replies', 'user/ann/#', 'user/ann/+']) {
    expect([filter, await phone.subscribe(filter)]).toEqual([filter, [1]])
  }
})

test('other users\' topics and what would match them are refused', async () => {
  await using broker = await startTestBroker()
  const phone = await broker.device('ann')
  for (const filter of [
    'user/bob/inbox', 'user/bob/live', 'user/bob/replies', 'user/bob/#', '#', '+/+/inbox', 'user/+/inbox',
    'user/#', '+/#', '+/ann/inbox', '$SYS/#', '$share/g/user/bob/inbox', 'user/ann/outbox',
    'user/ann/inbox/#', 'user/anna/inbox', '/user/ann/inbox', 'elsewhere'
  ]) {
    expect([filter, await phone.subscribe(filter)]).toEqual([filter, [REFUSED]])
  }
})

test('a refused filter beside an allowed one is neither served nor stored', async () => {
  await using broker = await startTestBroker()
  const conversation = await broker.direct('bob', 'ann')
  const carl = await broker.direct('bob', 'carl')
  const phone = await broker.device('ann', SENSORS)
  expect(await phone.subscribe(['user/carl/inbox', 'user/ann/inbox', '#', 'sensors/1', 'actors/#'])).toEqual([
    REFUSED, 1, REFUSED, 1, REFUSED
  ])
  const other = await broker.device('dan', { claims: { acl: { pub: ['sensors/#', 'actors/#'] } } })

  async function publishAll (n: number): Promise<void> {
    await broker.say('bob', carl, `to carl ${n}`)
    await other.client.publishAsync('actors/1', String(n), { qos: 1 })
    await other.client.publishAsync('sensors/1', String(n), { qos: 1 })
    await broker.say('bob', conversation, `to ann ${n}`)
  }
  const expected = (n: number): string[] => [`${n}`, `to ann ${n}`]
  const got = (device: typeof phone): string[] => device.received
    .map(({ topic, payload }) => topic === 'user/ann/inbox'
      ? JSON.parse(payload.toString()).message?.content
      : topic.startsWith('sensors/') ? payload.toString() : topic)
    .filter(content => content !== undefined).sort()

  await publishAll(1)
  await until(() => got(phone).length >= 2, 'what is allowed came')
  expect(got(phone)).toEqual(expected(1))
  await phone.leave()
  await publishAll(2)
  const again = await broker.device('ann', SENSORS)
  expect(again.sessionPresent).toBe(true)
  await publishAll(3)
  await until(() => got(again).length >= 4, 'what is allowed came again')
  expect(got(again)).toEqual([...expected(2), ...expected(3)].sort())
  expect(await broker.sql('select subscriptions from devices where user_id = $1', 'ann')).toEqual([
    { subscriptions: [{ topic: 'user/ann/inbox', qos: 1 }] }
  ])
})

test('SUBSCRIBEs sent without waiting for each other are all stored', async () => {
  await using broker = await startTestBroker()
  const phone = await broker.device('ann')
  await Promise.all(['inbox', 'live', 'replies'].map(name => phone.subscribe(`user/ann/${name}`)))
  await Promise.all([phone.client.unsubscribeAsync('user/ann/live'), phone.subscribe('user/ann/#', 0)])
  await phone.leave()
  const [row] = await broker.sql('select subscriptions from devices where user_id = $1', 'ann')
  expect(row.subscriptions).toEqual([
    {
      topic: 'user/ann/inbox', qos: 1
    }, { topic: 'user/ann/replies', qos: 1 }, { topic: 'user/ann/#', qos: 0 }
  ])
})

test('a SUBSCRIBE sent together with CONNECT adds to what was stored', async () => {
  await using broker = await startTestBroker()
  const first = await broker.rawDevice('ann', { clean: false })
  first.packet(subscribePacket(1, 'user/ann/inbox'))
  await first.nth('suback', 1)
  first[Symbol.dispose]()
  const second = broker.raw()
  const connect = connectPacket({ clientId: 'raw', clean: false, password: await broker.token('ann') })
  second.bytes(Buffer.concat([connect, subscribePacket(1, 'user/ann/replies')].map(packet =>
    generate(packet))))
  await second.nth('suback', 1)
  expect(second.received.map(packet => packet.cmd)).toEqual(['connack', 'suback'])
  const [row] = await broker.sql('select subscriptions from devices where user_id = $1', 'ann')
  expect(row.subscriptions).toEqual([
    { topic: 'user/ann/inbox', qos: 1 }, { topic: 'user/ann/replies', qos: 1 }
  ])
})

test('an admin may subscribe to anything but commands', async () => {
  await using broker = await startTestBroker()
  const admin = await broker.device('root', ADMIN)
  for (const filter of ['#', '$SYS/#', 'user/+/inbox', 'user/ann/#', 'elsewhere']) {
    expect([filter, await admin.subscribe(filter, 0)]).toEqual([filter, [0]])
  }
  expect(await admin.subscribe('user/ann/outbox')).toEqual([REFUSED])
  expect(await admin.subscribe('user/+/outbox')).toEqual([REFUSED])
})

test('an admin publishes to nothing but their own outbox', async () => {
  await using broker = await startTestBroker()
  for (const topic of ['user/ann/inbox', 'user/ann/outbox', 'user/root/inbox', '$SYS/x', 'elsewhere']) {
    const admin = await broker.rawDevice('root', ADMIN)
    admin.packet(publishPacket(topic, '{}', 1, 1))
    await until(() => admin.closed, `publishing to ${topic} closes the connection`)
    expect(admin.of('puback')).toEqual([])
  }
})

test('an admin who looks on gets copies of inboxes and live, with QoS 0, which are no delivery', async () => {
  await using broker = await startTestBroker()
  const conversation = await broker.direct('bob', 'ann')
  const admin = await broker.device('root', { ...ADMIN, subscribe: ['#'] })
  const bob = await broker.device('bob', { subscribe: ['user/bob/replies'] })
  await bob.command({ type: 'typing', conversation_id: conversation, is_typing: true })
  await bob.command({
    type: 'send_message',
    conversation_id: conversation,
    content: 'hello',
    message_type: 'text',
    client_message_id: 'c1'
  })
  await until(() =>
    admin.on('user/ann/inbox').length === 1 && admin.on('user/bob/inbox').length === 1, 'the copies came')
  expect(admin.on('user/ann/inbox')[0]).toMatchObject({
    seq: 2, type: 'new_message', message: { content: 'hello' }
  })
  expect(admin.on('user/bob/inbox')[0]).toMatchObject({ seq: 2, type: 'message_sent' })
  expect(admin.on('user/ann/live').filter(event => event.type === 'typing')).toMatchObject([
    { user_id: 'bob' }
  ])
  expect(bob.replies).toHaveLength(1)
  expect(admin.received.filter(message => message.qos !== 0)).toEqual([])
  expect(admin.received.filter(message => /(outbox|replies)$/.test(message.topic))).toEqual([])
  expect(await broker.status('bob', admin.on('user/ann/inbox')[0].message)).toBe('sent')
  // What carries no event in its wake is copied as well.
  await broker.direct('carl', 'ann')
  await until(
    () => admin.on('user/carl/inbox').some(event => event.type === 'conversation_created'), 'the copy came'
  )
})

test('a token without the scope ends the looking on', async () => {
  await using broker = await startTestBroker()
  const conversation = await broker.direct('bob', 'ann')
  const admin = await broker.device('root', { ...ADMIN, subscribe: ['user/ann/inbox', 'user/root/inbox'] })
  await broker.say('bob', conversation, 'one')
  await until(() => admin.on('user/ann/inbox').length === 1, 'the copy came')
  await admin.command({ type: 'auth', token: await broker.token('root') })
  await broker.say('bob', conversation, 'two')
  await broker.direct('bob', 'root')
  await until(() => admin.events.length === 1, 'the own inbox is still served')
  expect(admin.on('user/ann/inbox')).toHaveLength(1)
})

test('an observer who unsubscribes or leaves gets no more copies', async () => {
  await using broker = await startTestBroker()
  const conversation = await broker.direct('bob', 'ann')
  const admin = await broker.device('root', { ...ADMIN, subscribe: ['user/ann/inbox', 'user/bob/inbox'] })
  await admin.client.unsubscribeAsync('user/ann/inbox')
  for (const content of ['one', 'two']) await broker.say('bob', conversation, content)
  await until(() => admin.on('user/bob/inbox').length === 2, 'the other copies came')
  expect(admin.on('user/bob/inbox').map(event => event.seq)).toEqual(seqsAfter(1, 2))
  expect(admin.on('user/ann/inbox')).toEqual([])
})
