/** Several processes of which one fails, stops or is replaced, or whose database or Redis is away. */
import pino from 'pino'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Timings } from '../../system.ts'
import { NO_SWEEP, startCluster, type TestCluster } from '../support/cluster.ts'
import { runSql } from '../support/database.ts'
import { token, type EchoProcess } from '../support/echo-process.ts'
import {
  at, command, contents, direct, nodeName, phone, pushesOf, registerToken, say
} from '../support/nodes.ts'
import { range } from '../support/phone.ts'
import { program } from '../support/programs.ts'
import { restClient } from '../support/rest.ts'
import { until } from '../support/until.ts'

let cluster: TestCluster
/** The devices of the second one hear of nothing but by a wake. */
let brokers: EchoProcess[]
let apis: EchoProcess[]
let bridge: EchoProcess

const start = (role: string, timings: Timings = { sweepMs: 1_000 }): Promise<EchoProcess> =>
  cluster.start(role, { PUSH_GRACE_MS: '10000', TEST_TIMINGS: JSON.stringify(timings) })

beforeAll(async () => {
  cluster = await startCluster(program('impatient'))
  const [a, b, c, d, e] = await Promise.all(
    [start('broker'), start('broker', NO_SWEEP), start('api'), start('api'), start('push-bridge')]
  )
  brokers = [a!, b!]
  apis = [c!, d!]
  bridge = e!
})
afterAll(async () => { await cluster?.[Symbol.asyncDispose]() })

test('without the database, connections stay, sends get 503 and no PUBACK, and everything resumes by itself', async () => {
  for (const take of [cluster.cutDatabase, cluster.freezeDatabase]) {
    const [sender, receiver] = take === cluster.cutDatabase ? ['ray', 'sue'] : ['tim', 'uma']
    const conversation = await direct(apis[0]!, sender, receiver)
    await using device = await phone(brokers[0]!, receiver)
    await using author = await phone(brokers[1]!, sender, { subscribe: [] })
    await until(() => device.events.length === 1, 'what was there came')
    const rest = await at(apis[0]!, sender)
    await say(rest, conversation, 'before')
    await until(() => contents(device).length === 1, 'it came')
    let closed = false
    device.client.on('close', () => { closed = true })

    const restore = await take()
    const sent = ['not accepted yet']
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
      await until(() => ended, 'the connection of an undecided command ends')
      expect(acknowledged).toBe(false)
      expect(closed).toBe(false)
    } finally {
      await restore()
    }
    await using again = await until(() =>
      phone(brokers[1]!, sender, { subscribe: [] }).catch(() => undefined), 'phones connect again')
    await command(again, sender, {
      type: 'send_message',
      conversation_id: conversation,
      content: sent[0]!,
      message_type: 'text',
      client_message_id: 'kept'
    })
    await until(async () => (await rest(
      'POST', '/messages', { conversation_id: conversation, content: 'after', message_type: 'text' }
    )).status === 201, 'sends commit again')
    await until(() => contents(device).length === 3, 'everything came')
    expect(contents(device)).toEqual(['before', ...sent, 'after'])
    expect(closed).toBe(false)
    for (const node of [...brokers, ...apis, bridge]) {
      await until(async () => (await fetch(`${node.http}/ready`)).ok, 'every process is ready')
    }
  }
})

test('while Redis is away phones connect and sends commit, delivery goes on by the sweep, and it is fast again afterwards', async () => {
  const conversation = await direct(apis[0]!, 'vic', 'wil')
  await using wil = await phone(brokers[0]!, 'wil')
  await until(() => wil.events.length === 1, 'what was there came')
  const rest = await at(apis[0]!, 'vic')
  await cluster.redis.kill()
  await say(rest, conversation, 'one')
  await until(() => contents(wil).length === 1, 'it came by the sweep')
  await using tablet = await phone(brokers[1]!, 'wil', { deviceId: 'tablet' })
  await using author = await phone(brokers[1]!, 'vic')
  await command(author, 'vic', {
    type: 'send_message',
    conversation_id: conversation,
    content: 'two',
    message_type: 'text',
    client_message_id: 'two'
  })
  await until(() => contents(tablet).includes('two'), 'it came to the device of the same broker')
  await until(() => contents(wil).length === 2, 'it came to the other by the sweep')
  expect((await fetch(`${apis[0]!.http}/ready`)).status).toBe(200)
  await cluster.redis.start()
  await until(async () =>
    Number(await cluster.redis.ask('zcard', 'echo:nodes')) === 5, 'all nodes have found each other')
  await until(async () => {
    const before = tablet.events.length
    await say(rest, conversation, 'hello')
    return await until(() => tablet.events.length > before, 'the message came', 500).catch(() => false)
  }, 'messages come by their wakes again')
})

test('a Redis that hangs keeps no phone from connecting and no send from committing', async () => {
  const conversation = await direct(apis[0]!, 'xan', 'yve')
  const rest = await at(apis[0]!, 'xan')
  cluster.redis.pause()
  try {
    await using yve = await phone(brokers[0]!, 'yve')
    await say(rest, conversation, 'one')
    await until(() => contents(yve).length === 1, 'it came by the sweep')
  } finally {
    cluster.redis.resume()
  }
})

test('what a killed broker left unacknowledged becomes due for a push, and its devices miss nothing elsewhere', async () => {
  const conversation = await direct(apis[0]!, 'zoe', 'abe')
  await registerToken(apis[0]!, 'abe')
  const rest = await at(apis[0]!, 'zoe')
  const doomed = await start('broker')
  const device = await phone(doomed, 'abe', { paused: true })
  await until(() => device.events.length === 1, 'what was there came')
  device.acknowledgeAll()
  await say(rest, conversation, 'one')
  await until(() => contents(device).length === 1, 'it came and is not acknowledged')
  await doomed.kill()
  const name = nodeName(doomed)
  await until(() => [...brokers, ...apis, bridge].some(({ output }) => output().split('\n')
    .some(line => line.includes('a node is gone') && line.includes(name))), 'the log names it')
  device.client.end(true)
  await say(rest, conversation, 'two')
  await until(() => pushesOf(bridge, 'abe').length > 0, 'the push came')
  await using again = await phone(brokers[0]!, 'abe', { subscribe: [] })
  expect(again.sessionPresent).toBe(true)
  await until(() => contents(again).length === 2, 'it has everything')
  expect(contents(again)).toEqual(['one', 'two'])
})

test('the others say of a broker that was stopped that it has left, and warn of nothing', async () => {
  const leaving = await start('broker')
  const name = nodeName(leaving)
  const others = [...brokers, ...apis, bridge]
  await leaving.stop()
  for (const other of others) {
    const about = () => other.output().split('\n').filter(line => line.includes(name))
    await until(() => about().length > 0, 'it is missed')
    expect(about().map(line => JSON.parse(line))).toMatchObject([{
      level: pino.levels.values.info, nodes: [name], msg: 'a node has left: it was stopped'
    }])
  }
})

test('a device that moves to another broker with unacknowledged messages is not pushed', async () => {
  const conversation = await direct(apis[0]!, 'fay', 'gus')
  await registerToken(apis[0]!, 'gus')
  await using device = await phone(brokers[0]!, 'gus', { paused: true })
  await until(() => device.events.length === 1, 'what was there came')
  device.acknowledgeAll()
  const rest = await at(apis[0]!, 'fay')
  await say(rest, conversation, 'hello')
  await until(() => contents(device).length === 1, 'it came and is not acknowledged')
  let closed = false
  device.client.on('close', () => { closed = true })
  await using moved = await phone(brokers[1]!, 'gus', { subscribe: [] })
  await until(() => closed, 'the older connection ends')
  await until(() => contents(moved).length === 1, 'it came again')
  await command(moved, 'gus', { type: 'typing', conversation_id: conversation, is_typing: true })
  // The push of another user comes after what would have come for this one.
  await direct(apis[0]!, 'fay', 'hal').then(async other => {
    await registerToken(apis[0]!, 'hal')
    await say(rest, other, 'hello')
  })
  await until(() => pushesOf(bridge, 'hal').length > 0, 'the other is pushed')
  expect(pushesOf(bridge, 'gus')).toEqual([])
})

test('a process that is asked to stop flushes acknowledgements and lets its devices go elsewhere', async () => {
  const conversation = await direct(apis[0]!, 'bev', 'cyd')
  const rest = await at(apis[0]!, 'bev')
  const leaving = await start('broker')
  await using device = await phone(leaving, 'cyd')
  for (const n of range(1, 30)) await say(rest, conversation, `${n}`)
  await until(() => contents(device).length === 30, 'all came')
  // Its PUBACK comes behind those of the events.
  await command(device, 'cyd', { type: 'typing', conversation_id: conversation, is_typing: true })
  let closed = false
  device.client.on('close', () => { closed = true })
  expect(await leaving.stop()).toBe(0)
  await until(() => closed, 'the device is disconnected')
  await using again = await phone(brokers[1]!, 'cyd', { subscribe: [] })
  await say(rest, conversation, 'last')
  await until(() => again.events.length > 0, 'the next message came by its wake')
  expect(contents(again)).toEqual(['last'])
})

test('a rolling restart of every process loses nothing and refuses no send that is retried once', async () => {
  const conversation = await direct(apis[0]!, 'dot', 'edo')
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
      ]).size >= sent), 'the connection ends or everything is there')
      for (const content of contents(device)) received.add(Number(content))
      await device[Symbol.asyncDispose]()
    }
  }
  const staying = stay()

  for (let i = 0; i < 2; i++) {
    fresh.brokers.unshift(await start('broker'))
    expect(await brokers.pop()!.stop()).toBe(0)
    fresh.apis.unshift(await start('api'))
    expect(await apis.pop()!.stop()).toBe(0)
  }
  const next = await start('push-bridge')
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

test('a process waits for a database or a Redis that is away at its start, says so, and then serves', async () => {
  await using other = await startCluster()
  const restore = await other.cutDatabase()
  const first = await other.spawn('api')
  await until(() => first.output().includes('waiting for the database'), 'it says what it waits for')
  expect((await fetch(`${first.http}/ready`)).status).toBe(503)
  expect((await fetch(`${first.http}/health`)).status).toBe(200)
  await restore()
  await using api = await first.ready()
  expect((await fetch(`${api.http}/ready`)).status).toBe(200)

  await other.redis.kill()
  const second = await other.spawn('broker')
  await until(() => second.output().includes('waiting for Redis'), 'it says what it waits for')
  expect((await fetch(`${second.http}/ready`)).status).toBe(503)
  await other.redis.start()
  await using broker = await second.ready()
  expect((await fetch(`${broker.http}/ready`)).status).toBe(200)
  await runSql(other.databaseUrl, 'select 1')
})
