/** Retained messages of a user who is erased, in memory and in Redis. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestBroker, type TestBroker } from '../../support/broker.ts'
import { startTestRedis, type TestRedis } from '../../support/cluster.ts'
import { scratchFolder } from '../../support/echo-process.ts'
import { until } from '../../support/until.ts'

const GRANT = { claims: { acl: { pub: ['iot/#'], sub: ['iot/#'] } } }

let folder: Awaited<ReturnType<typeof scratchFolder>>
let redis: TestRedis

beforeAll(async () => {
  folder = await scratchFolder()
  redis = await startTestRedis(folder.path)
})
afterAll(async () => {
  await redis[Symbol.asyncDispose]()
  await folder[Symbol.asyncDispose]()
})

/** What a device that subscribes now gets. */
async function retained (broker: TestBroker): Promise<string[]> {
  const reader = await broker.device('reader', { ...GRANT, clean: true, subscribe: ['iot/#'] })
  await until(() => reader.received.some(({ topic }) => topic === 'iot/last'), 'the last has come')
  await reader.leave()
  return reader.received.map(({ topic, payload }) => `${topic} ${payload}`).sort()
}

test.each(['memory', 'Redis'])('in %s, what a user has left on topics goes with the user', async store => {
  await using broker = await startTestBroker({ broker: store === 'Redis' ? { redisUrl: redis.url } : {} })
  const will = { topic: 'iot/will', payload: Buffer.from('bye'), qos: 1 as const, retain: true }
  const eva = await broker.device('eva', { ...GRANT, will })
  const bob = await broker.device('bob', GRANT)
  const evan = await broker.device('evan', GRANT)
  const retain = { retain: true }
  for (const qos of [0, 1] as const) await eva.client.publishAsync(`iot/${qos}`, 'eva', { ...retain, qos })
  await eva.client.publishAsync('iot/taken', 'eva', { ...retain, qos: 1 })
  await bob.client.publishAsync('iot/taken', 'bob', { ...retain, qos: 1 })
  await evan.client.publishAsync('iot/evan', 'evan', { ...retain, qos: 1 })
  await bob.client.publishAsync('iot/last', 'bob', { ...retain, qos: 1 })
  expect(await retained(broker)).toEqual([
    'iot/0 eva', 'iot/1 eva', 'iot/evan evan', 'iot/last bob', 'iot/taken bob'
  ])

  await broker.messaging.erasures.request('root', 'eva')
  await until(async () => (await broker.messaging.erasures.find('eva')).finished_at !== null,
    'the erasure is finished')
  expect(await retained(broker)).toEqual(['iot/evan evan', 'iot/last bob', 'iot/taken bob'])
})

test('an erasure whose topics cannot be reached waits, and goes on when they can be', async () => {
  await using broker = await startTestBroker({ broker: { redisUrl: redis.url } })
  let away = true
  broker.messaging.erasures.onErasing(async () => { if (away) throw new Error('away') })
  await broker.device('flo', GRANT)
  await broker.messaging.erasures.request('root', 'flo')
  const stepOf = async () => (await broker.messaging.erasures.find('flo')).step
  await until(async () => await stepOf() === 'retained' && broker.logged.length > 0, 'it is tried')
  away = false
  await broker.sql('update erasures set due_at = now()')
  await until(async () => (await broker.messaging.erasures.find('flo')).finished_at !== null,
    'the erasure is finished')
})

test('a Redis that hangs while it is read does not hold up erasures for good', async () => {
  await using broker = await startTestBroker({ broker: { redisUrl: redis.url } })
  const gil = await broker.device('gil', GRANT)
  await gil.client.publishAsync('iot/gil', 'gil', { retain: true, qos: 1 })
  redis.pause()
  try {
    await broker.messaging.erasures.request('root', 'gil')
    const tried = (): boolean => broker.logged.some(({ msg }) => /an erasure (cannot go on|failed)/.test(msg))
    await until(tried, 'it was tried in vain')
  } finally {
    redis.resume()
  }
  await broker.sql('update erasures set due_at = now()')
  await until(async () => (await broker.messaging.erasures.find('gil')).finished_at !== null,
    'the erasure is finished')
})
