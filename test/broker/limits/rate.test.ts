/** What is published too fast waits; nothing of it is lost. */
import { randomUUID } from 'node:crypto'
import { generate } from 'mqtt-packet'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { startRateLimit, type RateLimit } from '../../../broker/limits/rate.ts'
import { unavailable } from '../../../core/errors.ts'
import { publishPacket, startTestBroker } from '../../support/broker.ts'
import { until } from '../../support/until.ts'

const SENSORS = { claims: { acl: { pub: ['sensors/#'], sub: ['sensors/#'] } } }

describe('the tokens of a user', () => {
  beforeEach(() => { vi.useFakeTimers() })
  afterEach(() => { vi.useRealTimers() })

  const open = { closed: false }

  /** Takes `n` tokens; those that were given so far are in the list. */
  function take (
    rate: RateLimit, n: number, userId = 'ann', taker = open
  ): { given: number[], refused: number } {
    const state = { given: [] as number[], refused: 0 }
    for (let i = 0; i < n; i++) {
      const token = rate.take(userId, taker)
      if (token === undefined) state.given.push(i)
      else token.then(() => state.given.push(i), () => { state.refused++ })
    }
    return state
  }
  const after = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms)

  test('come at once for a burst of three seconds, then one by one in order', async () => {
    using rate = startRateLimit({ perSecond: 10, now: Date.now })
    const { given } = take(rate, 50)
    expect(given).toHaveLength(30)
    await after(100)
    expect(given).toHaveLength(31)
    await after(900)
    expect(given).toHaveLength(40)
    await after(1_000)
    expect(given).toEqual(Array.from({ length: 50 }, (_, i) => i))
  })

  test('a steady pace within the rate never waits', async () => {
    using rate = startRateLimit({ perSecond: 10, now: Date.now })
    for (let i = 0; i < 200; i++) {
      expect(rate.take('ann', open)).toBeUndefined()
      await after(100)
    }
  })

  test('a publish after a burst waits no longer than the rate says', async () => {
    using rate = startRateLimit({ perSecond: 10, now: Date.now })
    take(rate, 30)
    await after(50) // less than a token takes, but the clock of the next one runs
    const { given } = take(rate, 1)
    await after(100)
    expect(given).toHaveLength(1)
  })

  test('are of one user only, and a user is forgotten when the bucket is full again', async () => {
    using rate = startRateLimit({ perSecond: 10, now: Date.now })
    take(rate, 30)
    expect(rate.take('bob', open)).toBeUndefined()
    expect(rate.users()).toBe(2)
    await after(200)
    expect(rate.users()).toBe(1)
    await after(3_000)
    expect(rate.users()).toBe(0)
  })

  test('are refused beyond a wait of a minute', async () => {
    using rate = startRateLimit({ perSecond: 10, now: Date.now })
    const state = take(rate, 30 + 600 + 5)
    await after(0)
    expect(state.refused).toBe(5)
    await after(60_000)
    expect(state.given).toHaveLength(630)
  })

  test('pass over a connection that is closed', async () => {
    using rate = startRateLimit({ perSecond: 10, now: Date.now })
    const taker = { closed: false }
    const before = take(rate, 630, 'ann', taker)
    taker.closed = true
    const again = take(rate, 20)
    await after(2_000)
    expect([before.given.length, again.given.length, again.refused]).toEqual([630, 20, 0])
  })

  test('are not counted at rate 0', () => {
    using rate = startRateLimit({ perSecond: 0, now: Date.now })
    expect(take(rate, 10_000).given).toHaveLength(10_000)
    expect(rate.users()).toBe(0)
  })
})

const message = (conversation_id: string, content: string): string =>
  JSON.stringify({
    type: 'send_message', conversation_id, content, message_type: 'text', client_message_id: randomUUID()
  })

test('commands beyond the rate are decided later, in order, and none is lost', async () => {
  await using broker = await startTestBroker({ broker: { rateLimitSends: 50 } })
  const conversation = await broker.direct('bob', 'ann')
  const ann = await broker.rawDevice('ann', { keepalive: 1 })
  const n = 250
  const startedAt = performance.now()
  ann.bytes(Buffer.concat(Array.from({ length: n }, (_, i) =>
    generate(publishPacket('user/ann/outbox', message(conversation, `${i}`), 1, i + 1)))))
  await until(() => ann.of('puback').length === n, 'all are acknowledged')
  expect(performance.now() - startedAt).toBeGreaterThan(1_900)
  const rows = await broker.sql('select content from messages where sender_user_id = $1 order by seq', 'ann')
  expect(rows.map(row => row.content)).toEqual(Array.from({ length: n }, (_, i) => `${i}`))
  expect(ann.of('puback').map(packet => packet.messageId)).toEqual(Array.from({ length: n }, (_, i) => i + 1))
  expect(ann.closed).toBe(false) // although its keepalive was shorter than the wait
})

test('a client that is over the rate is not read from', async () => {
  await using broker = await startTestBroker({ broker: { rateLimitSends: 30 } })
  const raw = await broker.rawDevice('ann')
  const command = generate(publishPacket(
    'user/ann/outbox', `{"type":"ack","seq":0,"request_id":"${'r'.repeat(120)}"}`, 1, 1
  ))
  const n = 100_000
  const unsent = raw.bytes(Buffer.concat(Array.from({ length: n }, () => command)))
  const other = await broker.device('bob')
  for (let i = 0; i < 20; i++) await other.subscribe('user/bob/live')
  expect(raw.of('puback').length).toBeLessThan(n / 10)
  expect(raw.closed).toBe(false)
  expect(raw.unsent()).toBeGreaterThan(unsent / 4)
})

test('a publish that would wait for too long ends its connection; the next one does not wait', async () => {
  await using broker = await startTestBroker({ broker: { rateLimitSends: 1 } })
  const conversation = await broker.direct('bob', 'ann')
  // Both are there before the first publish: within a second a token comes, and with it room for one more.
  const greedy = await broker.rawDevice('ann', { clientId: 'greedy' })
  const late = await broker.rawDevice('ann', { clientId: 'late' })
  const startedAt = performance.now()
  // In one write: the broker stops reading once one of them waits.
  greedy.bytes(Buffer.concat(Array.from({ length: 63 }, (_, i) =>
    generate(publishPacket('user/ann/outbox', message(conversation, 'greedy'), 1, i + 1)))))
  await greedy.nth('puback', 3)
  late.packet(publishPacket('user/ann/outbox', message(conversation, 'late'), 1, 1))
  await until(() => late.closed, 'its connection closes')
  expect(late.of('puback')).toEqual([])
  expect(greedy.closed).toBe(false)
  await (await broker.device('bob')).command(message(conversation, 'from bob'))
  expect(greedy.of('puback').length).toBeLessThan(63) // bob did not wait behind ann
  const seconds = (performance.now() - startedAt) / 1_000

  greedy[Symbol.dispose]()
  const again = await broker.rawDevice('ann', { clientId: 'greedy' })
  again.packet(publishPacket('user/ann/outbox', message(conversation, 'again'), 1, 1))
  await again.nth('puback', 1)
  const rows = await broker.sql('select content from messages where sender_user_id = $1 order by seq', 'ann')
  expect(rows.length).toBeLessThan(5 + seconds)
  expect(rows.at(-1)!.content).toBe('again')
})

test('publishes to granted topics beyond their rate arrive later, and none is lost', async () => {
  await using broker = await startTestBroker({ broker: { rateLimitSends: 30 } })
  const reader = await broker.device('reader', { ...SENSORS, subscribe: ['sensors/#'] })
  const sensor = await broker.rawDevice('sensor', SENSORS)
  const n = 4_000
  const startedAt = performance.now()
  sensor.bytes(Buffer.concat(Array.from({ length: n }, (_, i) =>
    generate(publishPacket('sensors/1', `${i}`, i % 2 === 0 ? 0 : 1, i % 2 === 0 ? undefined : i)))))
  await until(() => reader.received.length === n, 'all came')
  expect(performance.now() - startedAt).toBeGreaterThan(900)
  expect(new Set(reader.received.map(received => received.payload.toString())).size).toBe(n)
})

test('a command that fails while an earlier one is undecided is told after that one', async () => {
  let decide = (): void => {}
  const undecided = new Promise<void>(resolve => { decide = resolve })
  let asked = 0
  await using broker = await startTestBroker({
    replace: ({ sends }) => ({
      sends: {
        ...sends,
        send: async send => {
          if (++asked === 2) throw unavailable('away')
          await undecided
          return await sends.send(send)
        }
      }
    })
  })
  const conversation = await broker.direct('bob', 'ann')
  const ann = await broker.rawDevice('ann')
  for (const id of [1, 2]) ann.packet(publishPacket('user/ann/outbox', message(conversation, `${id}`), 1, id))
  await until(() => asked === 2, 'both are being decided')
  const other = await broker.device('bob')
  await other.subscribe('user/bob/live')
  expect(ann.closed).toBe(false)
  decide()
  await until(() => ann.closed, 'the connection closes')
  expect(ann.of('puback').map(packet => packet.messageId)).toEqual([1])
})
