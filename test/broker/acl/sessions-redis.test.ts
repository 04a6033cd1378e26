/** The queue of a stored session in Redis. */
import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { MAX_QUEUED_MESSAGES } from '../../../broker/acl/scripts-redis.ts'
import { createRedisSessions, type RedisSessions } from '../../../broker/acl/sessions-redis.ts'
import { startTestRedis, type TestRedis } from '../../support/cluster.ts'
import { scratchFolder } from '../../support/echo-process.ts'

let folder: Awaited<ReturnType<typeof scratchFolder>>
let server: TestRedis
let redis: Redis
let sessions: RedisSessions

beforeAll(async () => {
  folder = await scratchFolder()
  server = await startTestRedis(folder.path)
  redis = new Redis(server.url)
  sessions = createRedisSessions(redis)
})
afterAll(async () => {
  redis.disconnect()
  await server[Symbol.asyncDispose]()
  await folder[Symbol.asyncDispose]()
})

test('a message without payload is acknowledged, and the bytes of the queue count down to none', async () => {
  await sessions.subscribe('ann/phone', [['sensors/1', 1]])
  await sessions.open('ann/phone', 1)
  await sessions.enqueue({ topic: 'sensors/1', payload: '', qos: 1 })
  await sessions.enqueue({ topic: 'sensors/1', payload: 'twelve bytes', qos: 1 })
  const messages = await sessions.read('ann/phone', 1, 0, 10, 1_000)
  expect(messages?.map(({ n, payload }) => [n, payload.toString()])).toEqual([[1, ''], [2, 'twelve bytes']])
  for (const n of [1, 2]) await sessions.acknowledge('ann/phone', 1, n)
  expect(await server.ask('xlen', 'echo:acl:queue:ann/phone')).toBe(0)
  expect(await server.ask('hget', 'echo:acl:state:ann/phone', 'bytes')).toBe('0')
})

test('a QoS 2 message without payload is received, released and done with, and leaves nothing', async () => {
  await sessions.subscribe('bob/phone', [['sensors/2', 2]])
  await sessions.open('bob/phone', 1)
  await sessions.receive('cem/probe', 7, { topic: 'sensors/2', payload: Buffer.alloc(0), qos: 2 })
  const [message] = await sessions.read('bob/phone', 1, 0, 10, 1_000) ?? []
  expect(message).toMatchObject({ n: 1, qos: 2, payload: Buffer.alloc(0) })
  await sessions.release('bob/phone', 1, 1, 40_000)
  expect(await sessions.open('bob/phone', 1)).toEqual([40_000])
  await sessions.complete('bob/phone', 1, 40_000)
  expect(await sessions.open('bob/phone', 1)).toEqual([])
  expect(await server.ask('xlen', 'echo:acl:queue:bob/phone')).toBe(0)
})

test('a full queue of messages without payload drops the oldest and takes the next', async () => {
  await sessions.subscribe('dee/phone', [['sensors/3', 1]])
  await sessions.open('dee/phone', 1)
  for (let n = 1; n <= MAX_QUEUED_MESSAGES + 2; n++) {
    await sessions.enqueue({ topic: 'sensors/3', payload: '', qos: 1 })
  }
  const [oldest] = await sessions.read('dee/phone', 1, 0, 1, 1_000) ?? []
  expect(oldest!.n).toBe(3)
  expect(await server.ask('xlen', 'echo:acl:queue:dee/phone')).toBe(MAX_QUEUED_MESSAGES)
})
