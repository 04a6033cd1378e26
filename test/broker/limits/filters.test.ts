/** How many filters one client may bring: in a packet, in a second. */
import { generate, type Packet } from 'mqtt-packet'
import { expect, test, vi } from 'vitest'
import { MAX_FILTERS_PER_PACKET } from '../../../broker/aedes/strict-parser.ts'
import { FILTERS_PER_SECOND } from '../../../broker/handlers/subscribe.ts'
import { BURST_S, startRateLimit } from '../../../broker/limits/rate.ts'
import { startTestBroker } from '../../support/broker.ts'
import { until } from '../../support/until.ts'

const REFUSED = 128
const MANY = 40_000
const foreign = (n: number): string[] => Array.from({ length: n }, (_, i) => `x${i % 10}`)
const subscribeTo = (messageId: number, topics: string[]): Packet =>
  ({ cmd: 'subscribe', messageId, subscriptions: topics.map(topic => ({ topic, qos: 1 })) } as Packet)
const unsubscribeFrom = (messageId: number, unsubscriptions: string[]): Packet =>
  ({ cmd: 'unsubscribe', messageId, unsubscriptions } as Packet)

test('of one SUBSCRIBE the first 200 filters are decided, and every other one is refused', async () => {
  await using broker = await startTestBroker({ logLevel: 'info' })
  const conversation = await broker.direct('bob', 'ann')
  const phone = await broker.rawDevice('ann')
  phone.packet(subscribeTo(7, ['user/ann/inbox', ...foreign(MANY - 2), 'user/ann/live']))
  const suback = await phone.nth('suback', 1)
  expect(suback.messageId).toBe(7)
  expect(suback.granted).toEqual([1, ...Array(MANY - 1).fill(REFUSED)])
  await broker.say('bob', conversation, 'hello')
  await phone.nth('publish', 2) // what was granted is served
  const lines = broker.logged.filter(({ msg }) => msg === 'subscriptions were refused')
  expect(lines).toMatchObject([{ user_id: 'ann', refused: MANY - 1, filters: ['x0', 'x1', 'x2'] }])
})

test('a refused SUBSCRIBE costs one line in the log, which shows little of its filters', async () => {
  await using broker = await startTestBroker({ logLevel: 'info' })
  const phone = await broker.rawDevice('ann')
  const long = 'x'.repeat(60_000)
  phone.packet(subscribeTo(1, [long, `${long}y`]))
  expect((await phone.nth('suback', 1)).granted).toEqual([REFUSED, REFUSED])
  const lines = broker.logged.filter(({ msg }) => msg === 'subscriptions were refused')
  expect(lines.map(line => JSON.stringify(line).length < 1_000)).toEqual([true])
})

test('filters that are cut off behind the 200th close the connection', async () => {
  await using broker = await startTestBroker()
  const phone = await broker.rawDevice('ann')
  const bytes = generate(subscribeTo(1, foreign(MANY)))
  bytes.set([0xFF], bytes.length - 4) // the length of the last filter
  phone.bytes(bytes)
  await until(() => phone.closed, 'it is closed')
})

test('UNSUBSCRIBE has no way to refuse: with more than 200 filters it closes the connection', async () => {
  await using broker = await startTestBroker()
  const phone = await broker.rawDevice('ann')
  phone.packet(unsubscribeFrom(1, foreign(MAX_FILTERS_PER_PACKET)))
  expect((await phone.nth('unsuback', 1)).messageId).toBe(1)
  phone.packet(unsubscribeFrom(2, foreign(MAX_FILTERS_PER_PACKET + 1)))
  await until(() => phone.closed, 'it is closed')
  expect(phone.of('unsuback')).toHaveLength(1)
})

test('filters beyond the rate wait, in order, and what comes behind them is not answered before', async () => {
  await using broker = await startTestBroker()
  const phone = await broker.rawDevice('ann')
  const full = BURST_S * FILTERS_PER_SECOND / MAX_FILTERS_PER_PACKET
  const packets = Array.from({ length: full }, (_, i) => subscribeTo(i + 1, foreign(MAX_FILTERS_PER_PACKET)))
  phone.bytes(Buffer.concat([
    ...packets, unsubscribeFrom(full + 1, foreign(50)), subscribeTo(full + 2, ['user/ann/live']),
    { cmd: 'pingreq' } as Packet
  ].map(packet => generate(packet))))
  await phone.nth('pingresp', 1)
  expect(phone.received.map(({ cmd, messageId }) => [cmd, messageId ?? 0])).toEqual([
    ['connack', 0], ...packets.map(({ messageId }) => ['suback', messageId]), ['unsuback', full + 1],
    ['suback', full + 2], ['pingresp', 0]
  ])
})

test('a packet takes as many tokens as it has filters', async () => {
  vi.useFakeTimers()
  using rate = startRateLimit({ perSecond: 10, now: Date.now })
  try {
    const open = { closed: false }
    expect(rate.take('ann', open, 30)).toBeUndefined()
    const given: number[] = []
    for (const tokens of [20, 5]) rate.take('ann', open, tokens)!.then(() => given.push(tokens), () => {})
    await vi.advanceTimersByTimeAsync(1_900)
    expect(given).toEqual([])
    await vi.advanceTimersByTimeAsync(100)
    expect(given).toEqual([20])
    await vi.advanceTimersByTimeAsync(500)
    expect(given).toEqual([20, 5])
    await expect(rate.take('ann', open, 601)).rejects.toThrow('too many')
  } finally {
    vi.useRealTimers()
  }
})
