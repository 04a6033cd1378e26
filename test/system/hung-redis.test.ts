/** A Redis that hangs: it takes connections and commands, and answers none. */
import { afterAll, beforeAll, test } from 'vitest'
import { NO_SWEEP, startCluster, type TestCluster } from '../support/cluster.ts'
import { type EchoProcess, tokenWith } from '../support/echo-process.ts'
import { at, command, contents, direct, phone, say } from '../support/nodes.ts'
import { program } from '../support/programs.ts'
import { until } from '../support/until.ts'

/** Longer than any command waits for its answer. */
const HUNG_MS = 1_500
const AT_LEAST = 20

let cluster: TestCluster
let brokers: EchoProcess[]
let api: EchoProcess

beforeAll(async () => {
  cluster = await startCluster(program('impatient'))
  const env = {
    RATE_LIMIT_SENDS: '100000', RATE_LIMIT_REQUESTS: '100000', TEST_TIMINGS: JSON.stringify(NO_SWEEP)
  }
  const [a, b, c] = await Promise.all(['broker', 'broker', 'api'].map(role => cluster.start(role, env)))
  brokers = [a!, b!]
  api = c!
})
afterAll(async () => { await cluster?.[Symbol.asyncDispose]() })

/** Sends one after the other while Redis hangs, each when the one before is answered. */
async function whileHung (send: (n: number) => Promise<unknown>): Promise<void> {
  cluster.redis.pause()
  try {
    const end = performance.now() + HUNG_MS
    for (let n = 0; n < AT_LEAST || performance.now() < end; n++) await send(n)
  } finally {
    cluster.redis.resume()
  }
}

async function redisAnswersAll (): Promise<void> {
  await until(async () => Number(await cluster.redis.ask('zcard', 'echo:nodes')) === 3, 'all nodes are back')
}

test('requests are answered while Redis hangs', async () => {
  const conversation = await direct(api, 'ann', 'bob')
  const rest = await at(api, 'ann')
  await say(rest, conversation, 'before')
  await whileHung(n => say(rest, conversation, `${n}`))
  await redisAnswersAll()
})

test('commands on the outbox get their PUBACK while Redis hangs', async () => {
  const conversation = await direct(api, 'cem', 'dee')
  await using author = await phone(brokers[0]!, 'cem', { subscribe: [] })
  await whileHung(n => command(author, 'cem', {
    type: 'send_message',
    conversation_id: conversation,
    content: `${n}`,
    message_type: 'text',
    client_message_id: `hung-${n}`
  }))
  await redisAnswersAll()
})

test('a device with acl has its QoS 2 commands decided while Redis hangs', async () => {
  const conversation = await direct(api, 'eva', 'fay')
  await using author = await phone(brokers[0]!, 'eva', {
    subscribe: [], token: await tokenWith('eva', { acl: { pub: ['sensors/#'], sub: [] } })
  })
  await whileHung(n => author.client.publishAsync('user/eva/outbox', JSON.stringify({
    type: 'send_message',
    conversation_id: conversation,
    content: `${n}`,
    message_type: 'text',
    client_message_id: `twice-${n}`
  }), { qos: 2 }))
  await redisAnswersAll()
})

test('after Redis has hung, messages come by their wakes again', async () => {
  const conversation = await direct(api, 'gil', 'hal')
  const rest = await at(api, 'gil')
  await using hal = await phone(brokers[1]!, 'hal')
  await whileHung(n => say(rest, conversation, `${n}`))
  await redisAnswersAll()
  await until(async () => {
    const before = contents(hal).length
    await say(rest, conversation, 'hello')
    return await until(() => contents(hal).length > before, 'the message came', 500).catch(() => false)
  }, 'messages come by their wakes')
})
