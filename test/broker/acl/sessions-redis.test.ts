/** The queue of a stored session in Redis. */
import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test } from 'vitest'
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
