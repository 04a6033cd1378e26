/** Topics granted by `acl` over two brokers: wills, and a Redis that is away or has lost everything. */
import { type MqttClient } from 'mqtt'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connectDevice, numbers, publishAll } from '../support/acl-devices.ts'
import { startCluster, type TestCluster } from '../support/cluster.ts'
import { token, type EchoProcess } from '../support/echo-process.ts'
import { connectPhone, range, type Phone } from '../support/phone.ts'
import { program } from '../support/programs.ts'
import { restClient } from '../support/rest.ts'
import { until } from '../support/until.ts'

/** What topics in Redis wait for an answer. */
const WAIT_FOR_REDIS_MS = 5_000

let cluster: TestCluster
let brokers: EchoProcess[]
let api: EchoProcess

beforeAll(async () => {
  cluster = await startCluster(program('impatient'))
  const [a, b, c] =
    await Promise.all(['broker', 'broker', 'api'].map(role => cluster.start(role, { RATE_LIMIT_SENDS: '0' })))
  brokers = [a!, b!]
  api = c!
})
afterAll(async () => { await cluster?.[Symbol.asyncDispose]() })
const WILL = { topic: 'iot/will', payload: Buffer.from('gone'), qos: 1 as const, retain: false }

test('a will comes once when the connection is cut or taken over on another broker, and not after DISCONNECT', async () => {
  await using watcher = await connectDevice(brokers[1]!, 'watcher')
  await watcher.client.subscribeAsync('iot/will', { qos: 1 })
  await using author = await connectDevice(brokers[1]!, 'author', { clientId: 'wills' })
  /** Everything that has come until a message that was published now. */
  async function seen (mark: string): Promise<string[]> {
    await author.client.publishAsync('iot/will', mark, { qos: 1 })
    await until(() => watcher.received.at(-1)?.text === mark, 'the mark came')
    return watcher.received.splice(0).map(({ text }) => text).slice(0, -1)
  }
  const gone = (): Promise<unknown> => until(() => watcher.received.length > 0, 'the will came')

  const cut = await connectDevice(brokers[0]!, 'willing', { will: WILL })
  cut.client.stream.destroy()
  await gone()
  expect(await seen('cut')).toEqual(['gone'])

  const leaving = await connectDevice(brokers[0]!, 'willing', { will: WILL })
  await leaving.client.endAsync()
  // The node that had the connection has taken the will away.
  await until(async () => Number(await cluster.redis.ask(
    'eval',
    `local n = 0
     for _, broker in ipairs(redis.call('smembers', 'echo:acl:will-brokers')) do
       n = n + redis.call('hexists', 'echo:acl:wills:' .. broker, ARGV[1])
     end
     return n`,
    '0', 'willing/thing'
  )) === 0, 'the will is removed')
  expect(await seen('left')).toEqual([])

  const older = await connectDevice(brokers[0]!, 'willing', { will: WILL })
  let closed = false
  older.client.on('close', () => { closed = true })
  const newer =
    await connectDevice(brokers[1]!, 'willing', { will: { ...WILL, payload: Buffer.from('newer gone') } })
  await until(() => closed, 'the older connection is closed')
  await gone()
  expect(await seen('taken over')).toEqual(['gone'])
  newer.client.stream.destroy()
  await gone()
  expect(await seen('cut again')).toEqual(['newer gone'])
})

test('the will of a device whose broker was killed is published once by another one', async () => {
  await using watcher = await connectDevice(brokers[1]!, 'watcher', { clientId: 'other' })
  await watcher.client.subscribeAsync('iot/late-will', { qos: 1 })
  const doomed = await cluster.start('broker')
  const willing = await connectDevice(doomed, 'late', { will: { ...WILL, topic: 'iot/late-will' } })
  await doomed.kill()
  willing.client.end(true)
  await until(() => watcher.received.length > 0, 'the will came')
  await until(
    async () => Number(await cluster.redis.ask('scard', 'echo:acl:will-brokers')) <= 2,
    'the dead broker is forgotten'
  )
  await using author = await connectDevice(brokers[0]!, 'author', { clientId: 'late' })
  await publishAll(author, 'iot/late-will', [1], 1)
  await until(() => watcher.received.at(-1)?.text === '1', 'the mark came')
  expect(watcher.received.map(({ text }) => text)).toEqual(['gone', '1'])
})

test('a broker that is asked to stop publishes the wills of its connections', async () => {
  await using watcher = await connectDevice(brokers[1]!, 'watcher', { clientId: 'stop' })
  await watcher.client.subscribeAsync('iot/stop-will', { qos: 1 })
  const leaving = await cluster.start('broker')
  const willing = await connectDevice(leaving, 'stopped', { will: { ...WILL, topic: 'iot/stop-will' } })
  expect(await leaving.stop()).toBe(0)
  willing.client.end(true)
  await until(() => watcher.received.length === 1, 'the will came')
})

test('a Redis that loses everything loses no subscription of a connected device', async () => {
  await using thing = await connectDevice(brokers[0]!, 'flushed')
  await thing.client.subscribeAsync('iot/flushed', { qos: 1 })
  await using author = await connectDevice(brokers[1]!, 'author', { clientId: 'flusher' })
  await publishAll(author, 'iot/flushed', range(1, 10), 1)
  await until(() => thing.received.length === 10, 'all came')
  await cluster.redis.ask('flushall')
  await until(async () => {
    await publishAll(author, 'iot/flushed', [11], 1)
    return thing.received.length > 10
  }, 'messages come again')
})

/** False: the connection was closed instead. */
const acknowledged = (
  thing: MqttClient, topic: string, text: string
): Promise<boolean> => new Promise(resolve => {
  if (!thing.connected) return resolve(false)
  thing.once('close', () => resolve(false))
  thing.publishAsync(topic, text, { qos: 1 }).then(() => resolve(true), () => resolve(false))
})

test('while Redis is away nothing on acl topics is acknowledged, and subscribers hear again when it is back', async () => {
  await using thing = await connectDevice(brokers[0]!, 'outage', { clean: true })
  await using author = await connectDevice(brokers[1]!, 'author', { clientId: 'outage' })
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
      await using again =
        await connectDevice(brokers[1]!, 'author', { clientId: 'outage' }).catch(() => undefined)
      return again !== undefined && await acknowledged(again.client, 'iot/outage-too', '1') &&
        await acknowledged(again.client, 'iot/outage', '2') && new Set(numbers(thing)).size === 2
    }, 'it hears both')
  } finally {
    if (!await cluster.redis.ask('ping').catch(() => false)) await cluster.redis.start()
  }
})

for (const how of ['hangs', 'is away']) {
  test(`phones do not notice that Redis ${how}: CONNECT, SUBSCRIBE, commands with every QoS, UNSUBSCRIBE`, async () => {
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
    async function useEverything (when: string): Promise<number> {
      const startedAt = performance.now()
      for (const clean of [true, false, false]) {
        await using pia = await phone('pia', clean)
        await pia.client.subscribeAsync(['user/pia/inbox', 'user/pia/live', 'user/pia/replies'], { qos: 1 })
        for (const qos of [0, 1, 2] as const) {
          const id = `${how}-${when}-${clean}-${qos}-${performance.now()}`
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
      return performance.now() - startedAt
    }
    const before = await useEverything('before')
    if (how === 'hangs') cluster.redis.pause()
    else await cluster.redis.kill()
    try {
      expect(await useEverything('meanwhile')).toBeLessThan(before + WAIT_FOR_REDIS_MS)
    } finally {
      if (how === 'hangs') cluster.redis.resume()
      else await cluster.redis.start()
    }
  })
}
