/** Several processes over one PostgreSQL and one Redis: two brokers, two APIs, one push bridge. */
import { isDeepStrictEqual } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runSql } from '../support/database.ts'
import { startCluster, type TestCluster } from '../support/cluster.ts'
import { token, tokenWith, type EchoProcess } from '../support/echo-process.ts'
import { connectPhone, range, seqs, type Phone, type PhoneOptions } from '../support/phone.ts'
import { restClient, type RestClient } from '../support/rest.ts'
import { until } from '../support/until.ts'

/** Well below the 5 s of the sweep: what comes within it came by a wake. */
const BY_WAKE_MS = 1_500

let cluster: TestCluster
let brokers: EchoProcess[]
let apis: EchoProcess[]
let bridge: EchoProcess

beforeAll(async () => {
  cluster = await startCluster()
  const [a, b, c, d, e] =
    await Promise.all(['broker', 'broker', 'api', 'api', 'push-bridge'].map(role => cluster.start(role)))
  brokers = [a!, b!]
  apis = [c!, d!]
  bridge = e!
})
afterAll(async () => { await cluster?.[Symbol.asyncDispose]() })

const at = async (api: EchoProcess, userId: string): Promise<RestClient> =>
  restClient(api.api, await token(userId))
const phone = async (
  broker: EchoProcess, userId: string, options: Partial<PhoneOptions> = {}
): Promise<Phone> =>
  await connectPhone({
    userId, deviceId: 'phone', token: await token(userId), port: broker.mqttPort, ...options
  })

async function direct (a: string, b: string): Promise<string> {
  return (await (await at(apis[0]!, a))(
    'POST', '/conversations', { type: 'direct', participant_ids: [b] }
  )).body.id
}

async function say (rest: RestClient, conversation: string, content: string): Promise<{ id: string }> {
  const { status, body } =
    await rest('POST', '/messages', { conversation_id: conversation, content, message_type: 'text' })
  expect(status).toBe(201)
  return body
}

const contents = (device: Phone): string[] =>
  device.events.filter(event => event.type === 'new_message').map(event => event.message.content)
const command = async (
  device: Phone, userId: string, body: object
): Promise<void> => {
  await device.client.publishAsync(
  `user/${userId}/outbox`, JSON.stringify(body), { qos: 1 }
  )
}

test('a message sent through an api reaches devices on both brokers by its wake, and receipts come back to a sender on another broker', async () => {
  const conversation = await direct('ann', 'bob')
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
      () => contents(one).length === n && contents(two).length === n, `message ${n} came to both`, BY_WAKE_MS
    )
    await until(() => told(ann, 'message_delivered', id), 'it is known to be delivered', BY_WAKE_MS)
    await command(two, 'bob', { type: 'read_receipt', message_id: id, read_at: Date.now() })
    await until(
      () => told(ann, 'message_read', id) && told(one, 'message_read', id),
      'it is known to be read, by the reader\'s other device too', BY_WAKE_MS
    )
  }
})

test('a device that connects to another node takes its session over', async () => {
  const conversation = await direct('alf', 'bea')
  const rest = await at(apis[0]!, 'alf')
  await using first = await phone(brokers[0]!, 'bea')
  let closed = false
  first.client.on('close', () => { closed = true })
  const sending = (async () => { for (const n of range(1, 200)) await say(rest, conversation, `${n}`) })()
  await until(() => contents(first).length >= 50, 'the first connection has some', 15_000)
  await using second = await phone(brokers[1]!, 'bea', { subscribe: [] })
  expect(second.sessionPresent).toBe(true)
  await until(() => closed, 'the older connection is closed', BY_WAKE_MS)
  await sending
  await until(() => second.events.at(-1)?.seq === 201, 'the second connection has the rest', BY_WAKE_MS)
  // Nothing is skipped, and each connection got its part in order.
  expect(seqs(second.events)).toEqual(range(second.events[0]!.seq, 201))
  expect(seqs(first.events)).toEqual(range(1, first.events.at(-1)!.seq))
  expect(second.events[0]!.seq).toBeLessThanOrEqual(first.events.at(-1)!.seq + 1)
})

test('what a connection acknowledges after its device was taken over moves no cursor', async () => {
  const conversation = await direct('cat', 'dan')
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
    // Whatever the older one was sent and acknowledged is written, or refused, before its broker answers this.
    await until(async () => (await fetch(`${brokers[0]!.http}/ready`)).ok, 'the first broker is back')
    expect(await cursor()).toBe(1)
    newer.acknowledgeAll()
    await until(async () => await cursor() === 2, 'the newer one moves the cursor')
  } finally {
    brokers[0]!.child.kill('SIGCONT')
  }
})

test('typing crosses nodes', async () => {
  const conversation = await direct('eva', 'fay')
  await using eva = await phone(brokers[0]!, 'eva', { subscribe: [] })
  await using fay = await phone(brokers[1]!, 'fay', { subscribe: ['user/fay/#'] })
  await until(() => fay.events.length === 1, 'what was there came')
  await command(eva, 'eva', { type: 'typing', conversation_id: conversation, is_typing: true })
  await until(() => fay.others.some(({ topic, payload }) => topic === 'user/fay/live' &&
    payload.type === 'typing' && payload.user_id === 'eva'), 'the typing came', BY_WAKE_MS)
})

test('a long poll on one api is woken by a send through another', async () => {
  const conversation = await direct('gus', 'hal')
  const waiting = (await at(apis[0]!, 'hal'))('GET', '/inbox?after=1&wait=20')
  const rest = await at(apis[1]!, 'gus')
  await until(
    async () => Number(await cluster.redis.ask('exists', 'echo:presence:hal')) === 1, 'the poll is known'
  )
  await say(rest, conversation, 'wake up')
  const sentAt = performance.now()
  const { status, body } = await waiting
  expect(performance.now() - sentAt).toBeLessThan(BY_WAKE_MS)
  expect({ status, ...body }).toMatchObject({ status: 200, events: [{ type: 'new_message' }] })
})

test('an admin on one broker sees copies for users who are on another or on none', async () => {
  const conversation = await direct('ian', 'jim')
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
  // Whether somebody observes is known to the other nodes with their next heartbeat.
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

const pushesOf = (userId: string): string[] =>
  bridge.output().split('\n').filter(line => line.includes('"msg":"push"') && line.includes(`"${userId}`))

async function registerToken (userId: string, deviceId = 'phone'): Promise<void> {
  const { status } = await (await at(apis[0]!, userId))(
    'PUT', `/devices/${deviceId}`, { platform: 'android', push_token: `${userId}-token` }
  )
  expect(status).toBeLessThan(300)
}

test('a push goes to who has no session, and none to who has one on any node', async () => {
  const [awake, asleep] = [await direct('kay', 'liz'), await direct('kay', 'max')]
  await registerToken('liz')
  await registerToken('max')
  await using liz = await phone(brokers[1]!, 'liz')
  await until(() => liz.events.length === 1, 'what was there came')
  const rest = await at(apis[1]!, 'kay')
  for (const n of range(1, 5)) await say(rest, awake, `${n}`)
  await until(() => contents(liz).length === 5, 'the session has all', BY_WAKE_MS)
  await say(rest, asleep, 'wake up')
  await until(() => pushesOf('max').length === 1, 'the push came')
  expect(pushesOf('liz')).toEqual([])
})

test('a FLUSHALL heals with the next heartbeats', async () => {
  const conversation = await direct('ned', 'oda')
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
  }, 'messages come by their wakes again', 4_000)
})

test('the presence of a device that subscribes to its inbox again stays known', async () => {
  await direct('pam', 'quy')
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

test('without the database, connections stay, sends get 503 and no PUBACK, and everything resumes by itself', {
  timeout: 90_000
}, async () => {
  for (const take of [cluster.cutDatabase, cluster.freezeDatabase]) {
    const [sender, receiver] = take === cluster.cutDatabase ? ['ray', 'sue'] : ['tim', 'uma']
    const conversation = await direct(sender, receiver)
    await using device = await phone(brokers[0]!, receiver)
    await using author = await phone(brokers[1]!, sender, { subscribe: [] })
    await until(() => device.events.length === 1, 'what was there came')
    const rest = await at(apis[0]!, sender)
    await say(rest, conversation, 'before')
    await until(() => contents(device).length === 1, 'it came')
    let closed = false
    device.client.on('close', () => { closed = true })

    const restore = await take()
    const sent = ['accepted by nobody yet']
    try {
      const { status } = await rest(
        'POST', '/messages', { conversation_id: conversation, content: 'refused', message_type: 'text' }
      )
      expect(status).toBe(503)
      let acknowledged = false
      let ended = false
      author.client.on('close', () => { ended = true })
      command(author, sender, {
        type: 'send_message',
        conversation_id: conversation,
        content: sent[0]!,
        message_type: 'text',
        client_message_id: 'kept'
      })
        .then(() => { acknowledged = true }, () => {})
      await until(() => ended, 'the connection of an undecided command ends', 20_000)
      expect(acknowledged).toBe(false)
      expect(closed).toBe(false)
    } finally {
      await restore()
    }
    await using again = await until(() =>
      phone(brokers[1]!, sender, { subscribe: [] }).catch(() => undefined), 'phones connect again', 20_000)
    await command(again, sender, {
      type: 'send_message',
      conversation_id: conversation,
      content: sent[0]!,
      message_type: 'text',
      client_message_id: 'kept'
    })
    await until(async () => (await rest(
      'POST', '/messages', { conversation_id: conversation, content: 'after', message_type: 'text' }
    )).status === 201, 'sends commit again', 20_000)
    await until(() => contents(device).length === 3, 'everything came', 10_000)
    expect(contents(device)).toEqual(['before', ...sent, 'after'])
    expect(closed).toBe(false)
    for (const node of [...brokers, ...apis, bridge]) {
      await until(async () => (await fetch(`${node.http}/ready`)).ok, 'every process is ready', 20_000)
    }
  }
})

test('while Redis is away phones connect and sends commit, delivery goes on by the sweep, and it is fast again afterwards', {
  timeout: 60_000
}, async () => {
  const conversation = await direct('vic', 'wil')
  await using wil = await phone(brokers[0]!, 'wil')
  await until(() => wil.events.length === 1, 'what was there came')
  const rest = await at(apis[0]!, 'vic')
  await cluster.redis.kill()
  await say(rest, conversation, 'one')
  await until(() => contents(wil).length === 1, 'it came by the sweep', 8_000)
  await using tablet = await phone(brokers[1]!, 'wil', { deviceId: 'tablet' })
  await using author = await phone(brokers[1]!, 'vic')
  await command(author, 'vic', {
    type: 'send_message',
    conversation_id: conversation,
    content: 'two',
    message_type: 'text',
    client_message_id: 'two'
  })
  await until(() =>
    contents(wil).length === 2 && contents(tablet).includes('two'), 'it came to both by the sweep', 8_000)
  expect((await fetch(`${apis[0]!.http}/ready`)).status).toBe(200)
  await cluster.redis.start()
  await until(async () =>
    Number(await cluster.redis.ask('zcard', 'echo:nodes')) === 5, 'all nodes have found each other', 10_000)
  await until(async () => {
    const before = wil.events.length
    await say(rest, conversation, 'hello')
    return await until(() => wil.events.length > before, 'the message came', 500).catch(() => false)
  }, 'messages come by their wakes again', 5_000)
})

test('a Redis that hangs keeps no phone from connecting and no send from committing', {
  timeout: 60_000
}, async () => {
  const conversation = await direct('xan', 'yve')
  const rest = await at(apis[0]!, 'xan')
  cluster.redis.pause()
  try {
    await using yve = await phone(brokers[0]!, 'yve')
    await say(rest, conversation, 'one')
    await until(() => contents(yve).length === 1, 'it came by the sweep', 10_000)
  } finally {
    cluster.redis.resume()
  }
})

test('what a killed broker left unacknowledged becomes due for a push, and its devices miss nothing elsewhere', {
  timeout: 90_000
}, async () => {
  const conversation = await direct('zoe', 'abe')
  await registerToken('abe')
  const rest = await at(apis[0]!, 'zoe')
  const doomed = await cluster.start('broker')
  const device = await phone(doomed, 'abe', { paused: true })
  await until(() => device.events.length === 1, 'what was there came')
  device.acknowledgeAll()
  await say(rest, conversation, 'one')
  await until(() => contents(device).length === 1, 'it came and is not acknowledged')
  await doomed.kill()
  device.client.end(true)
  await say(rest, conversation, 'two')
  await until(() => pushesOf('abe').length > 0, 'the push came', 40_000)
  await using again = await phone(brokers[0]!, 'abe', { subscribe: [] })
  expect(again.sessionPresent).toBe(true)
  await until(() => contents(again).length === 2, 'it has everything')
  expect(contents(again)).toEqual(['one', 'two'])
})

test('a process that is asked to stop flushes acknowledgements and lets its devices go elsewhere', {
  timeout: 60_000
}, async () => {
  const conversation = await direct('bev', 'cyd')
  const rest = await at(apis[0]!, 'bev')
  const leaving = await cluster.start('broker')
  await using device = await phone(leaving, 'cyd')
  for (const n of range(1, 30)) await say(rest, conversation, `${n}`)
  await until(() => contents(device).length === 30, 'all came')
  // Its PUBACK comes behind those of the events.
  await command(device, 'cyd', { type: 'typing', conversation_id: conversation, is_typing: true })
  let closed = false
  device.client.on('close', () => { closed = true })
  expect(await leaving.stop()).toBe(0)
  await until(() => closed, 'the device is disconnected')
  await using again = await phone(brokers[0]!, 'cyd', { subscribe: [] })
  await say(rest, conversation, 'last')
  await until(() => again.events.length > 0, 'the next message came', BY_WAKE_MS)
  expect(contents(again)).toEqual(['last'])
})

test('a rolling restart of every process loses nothing and refuses no send that is retried once', {
  timeout: 120_000
}, async () => {
  const conversation = await direct('dot', 'edo')
  const fresh = { brokers: [] as EchoProcess[], apis: [] as EchoProcess[] }
  const secret = await token('dot')
  // What is being sent when it stops counts too.
  const run = { stopping: false, allSent: false }
  let sent = 0
  const received = new Set<number>()
  const statuses = new Map<number, number>()

  // As a balancer would: another api for the second attempt.
  async function sendOnce (attempt: number): Promise<number> {
    const live = [...fresh.apis, ...apis]
    const rest = restClient(live[(sent + attempt) % 2]!.api, secret)
    return await rest('POST', '/messages', {
      conversation_id: conversation,
      content: `${sent}`,
      message_type: 'text',
      client_message_id: `rolling-${sent}`
    })
      .then(answer => answer.status, () => 0)
  }
  const sending = (async () => {
    while (!run.stopping) {
      let status = await sendOnce(0)
      if (status !== 201) status = await sendOnce(1)
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
      sent++
    }
  })()

  // A device that comes back, wherever it can.
  async function stay (): Promise<void> {
    for (let n = 0; !run.allSent || received.size < sent; n++) {
      const live = [...fresh.brokers, ...brokers]
      const device =
        await phone(live[n % 2]!, 'edo', { subscribe: n === 0 ? undefined : [] }).catch(() => undefined)
      if (device === undefined) continue
      await until(() => !device.client.connected || (run.allSent && new Set([
        ...received, ...contents(device).map(Number)
      ]).size >= sent), 'the connection ends or everything is there', 60_000)
      for (const content of contents(device)) received.add(Number(content))
      await device[Symbol.asyncDispose]()
    }
  }
  const staying = stay()

  for (let i = 0; i < 2; i++) {
    fresh.brokers.unshift(await cluster.start('broker'))
    expect(await brokers.pop()!.stop()).toBe(0)
    fresh.apis.unshift(await cluster.start('api'))
    expect(await apis.pop()!.stop()).toBe(0)
  }
  const next = await cluster.start('push-bridge')
  expect(await bridge.stop()).toBe(0)
  bridge = next
  brokers = fresh.brokers
  apis = fresh.apis
  run.stopping = true
  await sending
  run.allSent = true
  await staying
  expect([...statuses.keys()].filter(status => status !== 200 && status !== 201)).toEqual([])
  expect([...received]).toEqual(range(0, sent - 1))
})

test('a process waits for a database or a Redis that is away at its start, says so, and then serves', {
  timeout: 60_000
}, async () => {
  await using other = await startCluster()
  const restore = await other.cutDatabase()
  const first = await other.spawn('api')
  await until(() => first.output().includes('waiting for the database'), 'it says what it waits for', 15_000)
  expect((await fetch(`${first.http}/ready`)).status).toBe(503)
  expect((await fetch(`${first.http}/health`)).status).toBe(200)
  await restore()
  await using api = await first.ready()
  expect((await fetch(`${api.http}/ready`)).status).toBe(200)

  await other.redis.kill()
  const second = await other.spawn('broker')
  await until(() => second.output().includes('waiting for Redis'), 'it says what it waits for', 15_000)
  expect((await fetch(`${second.http}/ready`)).status).toBe(503)
  await other.redis.start()
  await using broker = await second.ready()
  expect((await fetch(`${broker.http}/ready`)).status).toBe(200)
  await runSql(other.databaseUrl, 'select 1')
})
