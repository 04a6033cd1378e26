/** PUBLISH: where a client may publish, and the ordinary MQTT of topics granted by `acl`. */
import { generate } from 'mqtt-packet'
import { expect, test } from 'vitest'
import {
  pubackPacket, publishPacket, seqsAfter, startTestBroker, subscribePacket
} from '../../support/broker.ts'
import { until } from '../../support/until.ts'

const grant = (pub: string[], sub: string[] = pub) => ({ claims: { acl: { pub, sub } } })
const ADMIN = { claims: { scope: 'admin' } }

test('a publish to another client\'s topic reaches no subscriber and ends the connection', async () => {
  await using broker = await startTestBroker()
  const conversation = await broker.direct('carl', 'bob')
  const bob = await broker.device('bob', { subscribe: ['user/bob/#'] })
  const admin = await broker.device('root', { ...ADMIN, subscribe: ['#', '$SYS/x'] })
  await until(() => bob.events.length === 1, 'what was there came')
  for (const topic of [
    'user/bob/inbox', 'user/bob/live', 'user/bob/replies', 'user/bob/outbox', 'user/ann/inbox',
    'user/ann/live', 'user/ann/replies', '$SYS/x', 'user', 'elsewhere'
  ]) {
    for (const qos of [0, 1, 2] as const) {
      const ann = await broker.rawDevice('ann')
      ann.packet(publishPacket(topic, '{"seq":7,"forged":true}', qos, qos === 0 ? undefined : 1))
      await until(() => ann.closed, `publishing to ${topic} with QoS ${qos} closes the connection`)
      expect(ann.received.map(packet => packet.cmd)).toEqual(['connack'])
    }
  }
  await broker.say('carl', conversation, 'the end')
  await until(
    () => bob.events.length === 2 && admin.on('user/bob/inbox').length === 1, 'what came after it came'
  )
  expect(bob.events.map(event => event.seq)).toEqual([1, 2])
  expect([...bob.received, ...admin.received].filter(message => message.payload.includes('forged'))).toEqual(
    []
  )
})

test('a command reaches no subscriber and is never retained', async () => {
  await using broker = await startTestBroker()
  const admin = await broker.device('root', { ...ADMIN, subscribe: ['#', 'user/#', '+/+/outbox'] })
  const ann = await broker.device('ann', { ...grant(['sensors/#']), subscribe: ['user/ann/#'] })
  const token = await broker.token('ann', grant(['sensors/#']))
  await ann.client.publishAsync(
    'user/ann/outbox', JSON.stringify({ type: 'auth', token, request_id: 'r1' }), { qos: 1, retain: true }
  )
  await ann.client.publishAsync(
    'user/ann/outbox', JSON.stringify({ type: 'auth', token, request_id: 'r2' }), { qos: 2, retain: true }
  )
  await ann.client.publishAsync('sensors/1', 'the end', { qos: 1 })
  await until(
    () => admin.received.some(message => message.topic === 'sensors/1'), 'what came after the commands came'
  )
  await until(() => ann.replies.length === 2, 'the commands were accepted')
  const late = await broker.device('root', { ...ADMIN, deviceId: 'late', subscribe: ['user/+/outbox', '#'] })
  await ann.client.publishAsync('sensors/1', 'the end', { qos: 1 })
  await until(() =>
    late.received.some(message => message.topic === 'sensors/1'), 'what came after the subscription came')
  for (const device of [admin, ann, late]) {
    expect(device.received.filter(message =>
      message.topic.endsWith('outbox') || message.payload.includes(token))).toEqual([])
  }
})

test('granted topics are ordinary MQTT with QoS 0, 1 and 2', async () => {
  await using broker = await startTestBroker()
  const reader = await broker.device('reader', grant([], ['sensors/+/temperature']))
  expect(await reader.subscribe('sensors/+/temperature', 2)).toEqual([2])
  const sensor = await broker.device('sensor', grant(['sensors/1/#']))
  for (const qos of [0, 1, 2] as const) {
    await sensor.client.publishAsync('sensors/1/temperature', `qos ${qos}`, { qos })
  }
  await until(() => reader.received.length === 3, 'all came')
  expect(reader.received.map(message => [message.payload.toString(), message.qos]).sort()).toEqual([
    ['qos 0', 0], ['qos 1', 1], ['qos 2', 2]
  ])
})

test('a granted retained message waits for those who subscribe later', async () => {
  await using broker = await startTestBroker()
  const sensor = await broker.device('sensor', grant(['sensors/1/#']))
  await sensor.client.publishAsync('sensors/1/state', 'on', { qos: 1, retain: true })
  const reader = await broker.device('reader', { ...grant([], ['sensors/#']), subscribe: ['sensors/#'] })
  await until(() => reader.received.length === 1, 'it came')
  expect(reader.received[0]).toMatchObject({ topic: 'sensors/1/state', retain: true })
  const stranger = await broker.device('stranger', grant([], ['sensors/2/#']))
  expect(await stranger.subscribe('sensors/1/state')).toEqual([128])
  expect(await stranger.subscribe('sensors/#')).toEqual([128])
})

test('a granted will is published when its connection breaks, and not when the client leaves', async () => {
  await using broker = await startTestBroker()
  const reader = await broker.device('reader', { ...grant([], ['sensors/#']), subscribe: ['sensors/#'] })
  const will = (payload: string) =>
    ({ topic: 'sensors/1/state', payload: Buffer.from(payload), qos: 1 as const, retain: false })
  const polite = await broker.device('polite', { ...grant(['sensors/#']), will: will('left') })
  await polite.leave()
  const broken = await broker.device('broken', { ...grant(['sensors/#']), will: will('broke') })
  broken.client.stream.destroy()
  await until(() => reader.received.length > 0, 'the will came')
  expect(reader.received.map(message => message.payload.toString())).toEqual(['broke'])
})

test('a grant that could match users\' or the broker\'s topics grants nothing', async () => {
  await using broker = await startTestBroker()
  const dangerous =
    ['#', '+/#', '+/bob/inbox', 'user/#', 'user/bob/#', 'user/+/inbox', 'user', '$SYS/#', '+', '']
  const reader = await broker.device('ann', grant(dangerous))
  for (const filter of [
    '#', '+/bob/inbox', 'user/bob/inbox', 'user/#', 'user/+/inbox', '$SYS/#', '+', 'user'
  ]) {
    expect([filter, await reader.subscribe(filter)]).toEqual([filter, [128]])
  }
  for (const topic of ['user/bob/inbox', 'user/bob/outbox', '$SYS/x', 'user', 'x']) {
    const writer = await broker.rawDevice('ann', grant(dangerous))
    writer.packet(publishPacket(topic, 'x', 1, 1))
    await until(() => writer.closed, `publishing to ${topic} closes the connection`)
  }
})

test('QoS 2 messages that a stored session receives at the same time are all released', async () => {
  await using broker = await startTestBroker()
  const sensor = await broker.device('sensor', grant(['sensors/#']))
  const reader = await broker.rawDevice('ann', { clean: false, ...grant([], ['sensors/#']) })
  reader.packet(subscribePacket(1, 'sensors/#', 2))
  await reader.nth('suback', 1)
  const n = 20
  for (let i = 0; i < n; i++) await sensor.client.publishAsync('sensors/1', `${i}`, { qos: 1 })
  for (let i = 0; i < n; i++) await sensor.client.publishAsync('sensors/1', `${i}`, { qos: 2 })
  await reader.nth('publish', 2 * n)
  const ids = reader.of('publish').filter(packet => packet.qos === 2).map(packet => packet.messageId!)
  reader.bytes(Buffer.concat(ids.map(messageId => generate({ cmd: 'pubrec', messageId }))))
  await reader.nth('pubrel', n)
  expect(reader.of('pubrel').map(packet => packet.messageId)).toEqual(ids)
  reader[Symbol.dispose]()
  const again = await broker.rawDevice('ann', { clean: false, ...grant([], ['sensors/#']) })
  await again.nth('pubrel', n)
  expect(again.of('pubrel').map(packet => packet.messageId)).toEqual(ids)
})

test('a stored session gets the granted messages of the time it was away', async () => {
  await using broker = await startTestBroker()
  const reader = await broker.device('reader', { ...grant([], ['sensors/#']), subscribe: ['sensors/#'] })
  await reader.leave()
  const sensor = await broker.device('sensor', grant(['sensors/#']))
  for (const n of [1, 2, 3]) await sensor.client.publishAsync('sensors/1', `${n}`, { qos: 1 })
  await sensor.client.publishAsync('sensors/1', 'not kept', { qos: 0 })
  const again = await broker.device('reader', grant([], ['sensors/#']))
  expect(again.sessionPresent).toBe(true)
  await sensor.client.publishAsync('sensors/1', '4', { qos: 1 })
  await until(() => again.received.length >= 4, 'all came')
  expect(again.received.map(message => message.payload.toString())).toEqual(['1', '2', '3', '4'])
})

test('granted messages and inbox events never share an identifier', async () => {
  await using broker = await startTestBroker()
  const conversation = await broker.direct('bob', 'ann')
  const sensor = await broker.device('sensor', grant(['sensors/#']))
  const ann = await broker.rawDevice('ann', { clean: false, ...grant([], ['sensors/#']) })
  ann.packet(subscribePacket(1, 'sensors/#'))
  ann.packet(subscribePacket(2, 'user/ann/inbox'))
  await ann.nth('suback', 2)
  const n = 60
  for (let i = 0; i < n; i++) {
    await Promise.all([
      sensor.client.publishAsync('sensors/1', `${i}`, { qos: 1 }), broker.say('bob', conversation, `${i}`)
    ])
  }
  await ann.nth('publish', 2 * n + 1)
  const ids = (topic: RegExp): number[] =>
    ann.of('publish').filter(packet => topic.test(packet.topic)).map(packet => packet.messageId!)
  expect(new Set([...ids(/inbox/), ...ids(/sensors/)]).size).toBe(2 * n + 1)

  // Acknowledging one kind says nothing of the other.
  for (const id of ids(/sensors/)) ann.packet(pubackPacket(id))
  ann[Symbol.dispose]()
  const again = await broker.device('ann', { deviceId: 'raw', ...grant([], ['sensors/#']) })
  await until(() => again.events.length === n + 1, 'all events come again')
  expect(again.events.map(event => event.seq)).toEqual(seqsAfter(0, n + 1))
  await sensor.client.publishAsync('sensors/1', 'the end', { qos: 1 })
  await until(
    () => again.received.some(message => message.payload.toString() === 'the end'), 'the last one came'
  )
  expect(again.received.filter(message => message.topic === 'sensors/1')).toHaveLength(1)
})

test('new messages do not take the identifiers of those that a stored session has in flight', async () => {
  await using broker = await startTestBroker()
  const sensor = await broker.device('sensor', grant(['sensors/#']))
  const reader = await broker.rawDevice('ann', { clean: false, ...grant([], ['sensors/#']) })
  reader.packet(subscribePacket(1, 'sensors/#', 1))
  await reader.nth('suback', 1)
  for (let i = 0; i < 5; i++) await sensor.client.publishAsync('sensors/1', `${i}`, { qos: 1 })
  await reader.nth('publish', 5)
  reader[Symbol.dispose]()
  const again = await broker.rawDevice('ann', { clean: false, ...grant([], ['sensors/#']) })
  await again.nth('publish', 5)
  for (let i = 5; i < 10; i++) await sensor.client.publishAsync('sensors/1', `${i}`, { qos: 1 })
  await again.nth('publish', 10)
  expect(new Set(again.of('publish').map(packet => packet.messageId)).size).toBe(10)
})

test('a client whose later token grants topics gets them with identifiers of their own', async () => {
  await using broker = await startTestBroker()
  const sensor = await broker.device('sensor', grant(['sensors/#']))
  // Aedes begins anywhere: with several clients one would begin in the range of the inbox.
  for (let i = 0; i < 20; i++) {
    const ann = await broker.rawDevice('ann', { clientId: `client ${i}` })
    const token = await broker.token('ann', grant([], ['sensors/#']))
    ann.packet(publishPacket('user/ann/outbox', JSON.stringify({ type: 'auth', token }), 1, 1))
    await ann.nth('puback', 1)
    ann.packet(subscribePacket(2, 'sensors/#'))
    await ann.nth('suback', 1)
    await sensor.client.publishAsync('sensors/1', 'x', { qos: 1 })
    expect((await ann.nth('publish', 1)).messageId).toBeLessThan(32_768)
    ann[Symbol.dispose]()
  }
})

test('what a later token does not grant is delivered no more, although it is subscribed to', async () => {
  await using broker = await startTestBroker()
  const sensor = await broker.device('sensor', grant(['sensors/#']))
  const [ann, bob] = await Promise.all(['ann', 'bob'].map(id =>
    broker.device(id, { ...grant([], ['sensors/#']), clean: true, subscribe: ['sensors/#'] })))
  await ann!.command({ type: 'auth', token: await broker.token('ann', grant([], ['sensors/2'])) })
  for (const topic of ['sensors/1', 'sensors/2']) await sensor.client.publishAsync(topic, 'x', { qos: 1 })
  await until(() => bob!.received.length === 2 && ann!.received.length > 0, 'both were published')
  expect(ann!.received.map(message => message.topic)).toEqual(['sensors/2'])
})
