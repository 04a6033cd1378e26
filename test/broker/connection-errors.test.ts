/** What is said in the log when a connection fails. */
import { generate } from 'mqtt-packet'
import { expect, test } from 'vitest'
import { ClientFault, levelOf } from '../../broker/connection-errors.ts'
import { unavailable } from '../../core/errors.ts'
import { publishPacket, startTestBroker, subscribePacket, type TestBroker } from '../support/broker.ts'
import { startTestRedis } from '../support/cluster.ts'
import { scratchFolder } from '../support/echo-process.ts'
import { until } from '../support/until.ts'

const SENSORS = { claims: { acl: { pub: ['s/#'], sub: ['s/#'] } } }

const replyError = (message: string): Error => Object.assign(new Error(message), { name: 'ReplyError' })
const withCode = (error: Error, code: string): Error => Object.assign(error, { code })

test.for<[what: string, error: unknown, level: string]>([
  ['a rule that a client broke', new ClientFault('a packet without a filter'), 'debug'],
  ['a broken connection', withCode(new Error('read ECONNRESET'), 'ECONNRESET'), 'debug'],
  ['a broken frame', withCode(new RangeError('Invalid WebSocket frame'), 'WS_ERR_INVALID_OPCODE'), 'debug'],
  ['a client that is silent', new Error('keep alive timeout'), 'debug'],
  ['a database that is away', unavailable('the database is away'), 'debug'],
  ['a Redis that is away', new Error('Command timed out'), 'debug'],
  ['a Redis that reads its disk', replyError('LOADING Redis is loading the dataset in memory'), 'warn'],
  ['what nobody has thought of', new Error('something'), 'warn'],
  ['a script that fails', replyError('ERR value is not an integer or out of range'), 'error'],
  ['a failed script behind another error', new Error('failed', { cause: replyError('WRONGTYPE') }), 'error'],
  ['a bug', new TypeError('x is not a function'), 'error'],
  ['what is no error', 'a text', 'error']
])('%s is told on its level', ([, error, level]) => {
  expect(levelOf(error)).toBe(level)
})

const told = (broker: TestBroker): unknown[] => broker.logged.map(({ level, err }) => [level, err?.type])

test('a script that fails in Redis is an error in the log', async () => {
  await using folder = await scratchFolder()
  await using redis = await startTestRedis(folder.path)
  await using broker = await startTestBroker({ broker: { redisUrl: redis.url } })
  using sensor = await broker.rawDevice('sensor', SENSORS)
  await redis.ask('set', 'echo:acl:filter:s/1', 'no hash')
  await redis.ask('hset', 'echo:acl:levels', 's', '1', 's/1', '1')
  sensor.packet(publishPacket('s/1', 'x', 1, 1))
  await until(() => sensor.closed, 'its connection is closed')
  expect(sensor.of('puback')).toEqual([])
  expect(told(broker)).toEqual([[50, 'ReplyError']])
})

test('a bug that ends a connection is an error in the log', async () => {
  await using broker = await startTestBroker({
    replace: ({ openings }) => ({
      openings: { ...openings, save: async () => { throw new TypeError('a bug') } }
    })
  })
  using phone = await broker.rawDevice('ann', { clean: false })
  phone.packet(subscribePacket(1, 'user/ann/inbox'))
  await until(() => phone.closed, 'its connection is closed')
  await until(() => broker.logged.length > 0, 'it is logged')
  expect(told(broker)[0]).toEqual([50, 'TypeError'])
})

test('clients that break rules, and networks that break, are no matter for the log', async () => {
  await using broker = await startTestBroker()
  for (const bytes of [
    Buffer.from('GET / HTTP/1.1\r\n\r\n'), Buffer.from([0xC0, 1, 0]),
    generate(publishPacket('elsewhere', 'x')),
    generate(publishPacket('user/ann/inbox', '{}', 1, 1)), Buffer.from([0x30, 0xFF, 0xFF, 0xFF, 0x7F]),
    generate(subscribePacket(1, `s${'/s'.repeat(100)}`)), generate({ cmd: 'pingreq' })
  ]) {
    for (const raw of [broker.raw(), await broker.rawDevice('ann')]) {
      raw.bytes(bytes)
      raw.end()
      await until(() => raw.closed, 'it is closed')
    }
  }
  await until(() => broker.counts().connections === 0, 'all are closed')
  expect(broker.logged).toEqual([])
})
