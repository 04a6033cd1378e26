/** Several processes over one PostgreSQL and one Redis: two brokers, two APIs, one push bridge. */
import { isDeepStrictEqual } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { NO_SWEEP, startCluster, type TestCluster } from '../support/cluster.ts'
import { tokenWith, type EchoProcess } from '../support/echo-process.ts'
import { at, command, contents, direct, phone, pushesOf, registerToken, say } from '../support/nodes.ts'
import { connectPhone, range, seqs, type Phone } from '../support/phone.ts'
import { program } from '../support/programs.ts'
import { until } from '../support/until.ts'

let cluster: TestCluster
let brokers: EchoProcess[]
let apis: EchoProcess[]
let bridge: EchoProcess

beforeAll(async () => {
  cluster = await startCluster(program('impatient'))
  const env = { TEST_TIMINGS: JSON.stringify(NO_SWEEP) }
  const [a, b, c, d, e] =
    await Promise.all(['broker', 'broker', 'api', 'api', 'push-bridge'].map(role => cluster.start(role, env)))
  brokers = [a!, b!]
  apis = [c!, d!]
  bridge = e!
})
afterAll(async () => { await cluster?.[Symbol.asyncDispose]() })

test('a message sent through an api reaches devices on both brokers by its wake, and receipts come back to a sender on another broker', async () => {
  const conversation = await direct(apis[0]!, 'ann', 'bob')
  await using ann = await phone(brokers[0]!, 'ann')
  await using one = await phone(brokers[0]!, 'bob')
  await using two = await phone(brokers[1]!, 'bob', { deviceId: 'tablet' })
  await until(() => one.events.length === 1, 'what was there came')
  const rest = await at(apis[1]!, 'ann')
  const told = (device: Phone, type: string, id: string): boolean =>
    device.events.some(event => event.type === type && event.message_id === id)
  for (const n of range(1, 20)) {
    const { id } = await say(rest, conversation, `${n}`)
    await until(
      () => contents(one).length === n && contents(two).length === n, `message ${n} came to both`
    )
    await until(() => told(ann, 'message_delivered', id), 'it is known to be delivered')
    await command(two, 'bob', { type: 'read_receipt', message_id: id, read_at: Date.now() })
    await until(
      () => told(ann, 'message_read', id) && told(one, 'message_read', id),
      'it is known to be read, by the reader\'s other device too'
    )
  }
})

test('a device that connects to another node takes its session over', async () => {
  const conversation = await direct(apis[0]!, 'alf', 'bea')
  const rest = await at(apis[0]!, 'alf')
  await using first = await phone(brokers[0]!, 'bea')
  let closed = false
  first.client.on('close', () => { closed = true })
  const sending = (async () => { for (const n of range(1, 200)) await say(rest, conversation, `${n}`) })()
  await until(() => contents(first).length >= 50, 'the first connection has some')
  await using second = await phone(brokers[1]!, 'bea', { subscribe: [] })
  expect(second.sessionPresent).toBe(true)
  await until(() => closed, 'the older connection is closed')
  await sending
  await until(() => second.events.at(-1)?.seq === 201, 'the second connection has the rest')
  // Nothing is skipped, and each connection got its part in order.
  expect(seqs(second.events)).toEqual(range(second.events[0]!.seq, 201))
  expect(seqs(first.events)).toEqual(range(1, first.events.at(-1)!.seq))
  expect(second.events[0]!.seq).toBeLessThanOrEqual(first.events.at(-1)!.seq + 1)
})

test('what a connection acknowledges after its device was taken over moves no cursor', async () => {
  const conversation = await direct(apis[0]!, 'cat', 'dan')
  const rest = await at(apis[0]!, 'cat')
  const cursor = async (): Promise<number> => (await (await at(apis[0]!, 'dan'))(
    'GET', '/devices'
  )).body.devices.find((d: { device_id: string }) => d.device_id === 'phone').acked_seq
  await using older = await phone(brokers[0]!, 'dan')
  await until(async () => await cursor() === 1, 'the first event is acknowledged')
  brokers[0]!.child.kill('SIGSTOP')
  try {
    await say(rest, conversation, 'one')
    await using newer = await phone(brokers[1]!, 'dan', { subscribe: [], paused: true })
    expect(newer.sessionPresent).toBe(true)
    await until(() => newer.events.length === 1, 'the event came to the newer connection')
    brokers[0]!.child.kill('SIGCONT')
    let closed = false
    older.client.on('close', () => { closed = true })
    await until(() => closed || !older.client.connected, 'the older connection is closed')
    // Whatever the older one was sent and acknowledged is written, or refused, before its broker
    // answers this.
    await until(async () => (await fetch(`${brokers[0]!.http}/ready`)).ok, 'the first broker is back')
    expect(await cursor()).toBe(1)
    newer.acknowledgeAll()
    await until(async () => await cursor() === 2, 'the newer one moves the cursor')
  } finally {
    brokers[0]!.child.kill('SIGCONT')
  }
})

test('typing crosses nodes', async () => {
  const conversation = await direct(apis[0]!, 'eva', 'fay')
  await using eva = await phone(brokers[0]!, 'eva', { subscribe: [] })
  await using fay = await phone(brokers[1]!, 'fay', { subscribe: ['user/fay/#'] })
  await until(() => fay.events.length === 1, 'what was there came')
  await command(eva, 'eva', { type: 'typing', conversation_id: conversation, is_typing: true })
  await until(() => fay.others.some(({ topic, payload }) => topic === 'user/fay/live' &&
    payload.type === 'typing' && payload.user_id === 'eva'), 'the typing came')
})

test('a long poll on one api is woken by a send through another', async () => {
  const conversation = await direct(apis[0]!, 'gus', 'hal')
  const waiting = (await at(apis[0]!, 'hal'))('GET', '/inbox?after=1&wait=20')
  const rest = await at(apis[1]!, 'gus')
  await until(
    async () => Number(await cluster.redis.ask('exists', 'echo:presence:hal')) === 1, 'the poll is known'
  )
  await say(rest, conversation, 'wake up')
  const { status, body } = await waiting
  expect({ status, ...body }).toMatchObject({ status: 200, events: [{ type: 'new_message' }] })
})

test('an admin on one broker sees copies for users who are on another or on none', async () => {
  const conversation = await direct(apis[0]!, 'ian', 'jim')
  await using admin = await connectPhone({
    userId: 'root',
    deviceId: 'console',
    token: await tokenWith('root', { scope: 'admin' }),
    port: brokers[1]!.mqttPort,
    clean: true,
    subscribe: ['user/+/inbox', 'user/+/live']
  })
  await using jim = await phone(brokers[0]!, 'jim')
  const rest = await at(apis[0]!, 'ian')
  const copies = (userId: string): any[] =>
    admin.others.filter(({ topic }) => topic === `user/${userId}/inbox`)
  // Whether an admin observes is known to the other nodes with their next heartbeat.
  await until(async () => {
    await say(rest, conversation, 'hello')
    return copies('jim').length > 0 && copies('ian').length > 0
  }, 'a copy came')
  expect(copies('jim').at(-1).payload).toMatchObject({ type: 'new_message', message: { content: 'hello' } })
  // The other broker learns of it a heartbeat later than the api at the most.
  await until(async () => {
    await command(jim, 'jim', { type: 'typing', conversation_id: conversation, is_typing: true })
    return admin.others.some(({ topic }) => topic === 'user/ian/live')
  }, 'a live copy came')
})

test('a push goes to who has no session, and none to who has one on any node', async () => {
  const [awake, asleep] = [await direct(apis[0]!, 'kay', 'liz'), await direct(apis[0]!, 'kay', 'max')]
  await registerToken(apis[0]!, 'liz')
  await registerToken(apis[0]!, 'max')
  await using liz = await phone(brokers[1]!, 'liz')
  await until(() => liz.events.length === 1, 'what was there came')
  const rest = await at(apis[1]!, 'kay')
  for (const n of range(1, 5)) await say(rest, awake, `${n}`)
  await until(() => contents(liz).length === 5, 'the session has all')
  await say(rest, asleep, 'wake up')
  await until(() => pushesOf(bridge, 'max').length === 1, 'the push came')
  expect(pushesOf(bridge, 'liz')).toEqual([])
})

test('a FLUSHALL heals with the next heartbeats', async () => {
  const conversation = await direct(apis[0]!, 'ned', 'oda')
  await using oda = await phone(brokers[1]!, 'oda')
  await until(() => oda.events.length === 1, 'what was there came')
  const counts = async (): Promise<unknown[]> => await Promise.all([
    cluster.redis.ask('zcard', 'echo:nodes'), cluster.redis.ask('zcard', 'echo:presence:oda')
  ])
  // Listening, tracked and online.
  const registered = async (): Promise<boolean> => isDeepStrictEqual(await counts(), [5, 3])
  await until(registered, 'everything is registered')
  await cluster.redis.ask('flushall')
  await until(registered, 'everything is registered again')
  const rest = await at(apis[0]!, 'ned')
  // The others hear of it at once.
  await until(async () => {
    const before = oda.events.length
    await say(rest, conversation, 'hello')
    return await until(() => oda.events.length > before, 'the message came', 500).catch(() => false)
  }, 'messages come by their wakes again')
})

test('the presence of a device that subscribes to its inbox again stays known', async () => {
  await direct(apis[0]!, 'pam', 'quy')
  await using quy = await phone(brokers[0]!, 'quy')
  const tracked = async (): Promise<number> => (await cluster.redis.ask(
    'zrange', 'echo:presence:quy', '0', '-1'
  ) as string[]).filter(member => member.endsWith('/t')).length
  await until(async () => await tracked() === 1, 'the session is known')
  for (const qos of [0, 1, 0, 1] as const) {
    await quy.client.subscribeAsync('user/quy/inbox', { qos })
    await until(async () => await tracked() === qos, `a session with QoS ${qos} is told`)
  }
  await quy.client.unsubscribeAsync('user/quy/inbox')
  await quy.client.subscribeAsync('user/quy/inbox', { qos: 1 })
  await until(async () => await tracked() === 1, 'the session is known again')
})
