/** Slow and frozen clients: what they cost has a bound, and they do not delay the others. */
import { generate } from 'mqtt-packet'
import { expect, test } from 'vitest'
import { Pump, WINDOW } from '../../../messaging/deliver/pump.ts'
import {
  publishPacket, pubackPacket, seqsAfter, startTestBroker, subscribePacket, type RawClient, type TestBroker
} from '../../support/broker.ts'
import { until } from '../../support/until.ts'

const ADMIN = { claims: { scope: 'admin' } }
const SENSORS = { claims: { acl: { pub: ['sensors/#'], sub: ['sensors/#'] } } }
const LARGE = 'x'.repeat(10_000)

async function subscribed (
  broker: TestBroker, userId: string, filter: string, options: object = {}
): Promise<RawClient> {
  const raw = await broker.rawDevice(userId, { clientId: 'raw', clean: false, ...options })
  raw.packet(subscribePacket(1, filter))
  await raw.nth('suback', 1)
  return raw
}

const rawSeqs = (raw: RawClient): number[] =>
  raw.of('publish').map(packet => JSON.parse(packet.payload.toString()).seq)

async function say (broker: TestBroker, conversation: string, n: number, content = 'hello'): Promise<void> {
  await Promise.all(Array.from({ length: n }, () => broker.say('bob', conversation, content)))
}

test('a device that acknowledges nothing is disconnected; on its return it gets everything', async () => {
  await using broker = await startTestBroker({ stalledMs: 300 })
  const conversation = await broker.direct('bob', 'ann')
  await say(broker, conversation, 2 * WINDOW)
  const silent = await subscribed(broker, 'ann', 'user/ann/inbox')
  const idle = await subscribed(broker, 'carl', 'user/carl/inbox')
  const busy = await broker.device('bob', { subscribe: ['user/bob/inbox'] })
  await silent.nth('publish', WINDOW)
  await until(() => silent.closed, 'it is disconnected')
  expect(rawSeqs(silent)).toEqual(seqsAfter(0, WINDOW))
  expect([idle.closed, busy.client.connected]).toEqual([false, true])
  const again = await broker.device('ann', { deviceId: 'raw' })
  await until(() => again.events.length === 2 * WINDOW + 1, 'all events came')
  expect(again.events.map(event => event.seq)).toEqual(seqsAfter(0, 2 * WINDOW + 1))
})

test('a device that acknowledges what it does not read is disconnected too', async () => {
  await using broker = await startTestBroker({ stalledMs: 500, graceMs: 100 })
  const conversation = await broker.direct('bob', 'ann')
  const frozen = await subscribed(broker, 'ann', 'user/ann/inbox')
  await frozen.nth('publish', 1)
  frozen.freeze()
  const pump = [...broker.messaging.trackedSessions.of('ann')][0]!.pump
  // Windows of 640 KB until the socket is full.
  await until(async () => {
    await say(broker, conversation, WINDOW, LARGE)
    frozen.packet(publishPacket('user/ann/outbox', JSON.stringify({ type: 'ack', seq: pump.sentSeq }), 1, 7))
    return broker.counts().connections === 0
  }, 'it is disconnected')
})

test('a pump that has nothing in flight but a full socket is stalled and makes its user due', () => {
  let now = 0
  const pump = new Pump({
    epoch: 'e',
    userId: 'ann',
    deviceId: 'phone',
    connection: { write: () => false },
    readLog: async () =>
      [],
    onAcknowledged: () => {},
    tracked: true,
    now: () => now
  })
  const body = { epoch: 'e', type: 'new_message' as const, tail: Buffer.from('') }
  pump.start(0, 0)
  now = 1_000
  pump.wake([{ userId: 'ann', seq: 1, body }])
  expect(pump.stalledSince).toBe(1_000)
  pump.skipTo(1)
  expect([pump.stalledSince, pump.takeOverdue(0)]).toEqual([undefined, false]) // nothing waits for it
  now = 3_000
  pump.wake([{ userId: 'ann', seq: 2, body }])
  expect([pump.inFlight, pump.stalledSince]).toEqual([0, 1_000])
  expect([pump.takeOverdue(5_000), pump.takeOverdue(1_000), pump.takeOverdue(1_000)]).toEqual([
    false, true, false
  ])
})

test('a client that sends but does not read its answers is disconnected', async () => {
  await using broker = await startTestBroker({ broker: { drainTimeoutMs: 300 } })
  const rude = await broker.rawDevice('ann')
  rude.freeze()
  const ping = Buffer.concat(Array.from({ length: 100_000 }, () => generate({ cmd: 'pingreq' })))
  await until(() => {
    if (rude.unsent() === 0) rude.bytes(ping)
    return broker.counts().connections === 0
  }, 'it is disconnected')
})

test('a frozen observer loses copies and delays no other client', async () => {
  await using broker = await startTestBroker()
  const conversation = await broker.direct('bob', 'ann')
  const observers = await Promise.all([
    0, 1
  ].map(qos => broker.rawDevice('root', { clientId: `observer ${qos}`, ...ADMIN }).then(async raw => {
    raw.packet(subscribePacket(1, '#', qos as 0 | 1))
    await raw.nth('suback', 1)
    raw.freeze()
    return raw
  })))
  const [ann, sensor, reader] = [
    await broker.device('ann', { subscribe: ['user/ann/inbox'] }), await broker.device(
      'sensor', SENSORS
    ), await broker.device('reader', { ...SENSORS, subscribe: ['sensors/#'] })
  ]
  const n = 800
  for (let i = 0; i < n; i += 100) {
    await say(broker, conversation, 100, LARGE)
    for (let j = 0; j < 100; j++) sensor.client.publish('sensors/1', LARGE, { qos: j % 2 as 0 | 1 })
  }
  await until(
    () => ann.events.length === n + 1 && reader.received.length === n, 'all others got everything'
  )
  expect(observers.map(observer => observer.closed)).toEqual([false, false])
  expect(broker.counts().connections).toBe(5)
})

for (const qos of [1, 2] as const) {
  test(`a frozen subscriber with QoS ${qos} delays no other; its session gets everything`, async () => {
    await using broker = await startTestBroker()
    const frozen = await broker.rawDevice('frozen', { clientId: 'raw', clean: false, ...SENSORS })
    frozen.packet(subscribePacket(1, 'sensors/#', qos))
    await frozen.nth('suback', 1)
    frozen.freeze()
    const reader = await broker.device('reader', SENSORS)
    await reader.subscribe('sensors/#', qos)
    const sensor = await broker.device('sensor', SENSORS)
    const n = 1_500
    for (let i = 0; i < n; i += 50) {
      await Promise.all(Array.from(
        { length: 50 }, (_, j) => sensor.client.publishAsync('sensors/1', `${i + j} ${LARGE}`, { qos })
      ))
    }
    await until(() => reader.received.length === n, 'the other one got everything')
    expect(broker.counts().connections).toBe(3) // what waits for it is in its queue
    const again = await broker.device('frozen', { deviceId: 'raw', ...SENSORS })
    const numbers = (): Set<string> =>
      new Set(again.received.map(message => message.payload.toString().split(' ', 1)[0]!))
    await until(() => numbers().size === n, 'it got everything when it came back')
  })
}

test('a frozen subscriber whose session is clean has no queue, and is disconnected', async () => {
  await using broker = await startTestBroker()
  const frozen = await broker.rawDevice('frozen', SENSORS)
  frozen.packet(subscribePacket(1, 'sensors/#'))
  await frozen.nth('suback', 1)
  frozen.freeze()
  const sensor = await broker.device('sensor', SENSORS)
  await until(async () => {
    await sensor.client.publishAsync('sensors/1', LARGE, { qos: 1 })
    return broker.counts().connections === 1
  }, 'it is disconnected')
})

test('a subscriber that reads gets a burst of 5,000 and stays', async () => {
  await using broker = await startTestBroker()
  const reader = await broker.device('reader', { ...SENSORS, subscribe: ['sensors/#'] })
  const sensor = await broker.device('sensor', SENSORS)
  const n = 5_000
  for (let i = 0; i < n; i++) sensor.client.publish('sensors/1', `${i}`, { qos: 1 })
  await until(() => reader.received.length === n, 'all came')
  expect(reader.client.connected).toBe(true)
})

test('retained messages come to a slow reader as fast as it takes them', async () => {
  await using broker = await startTestBroker()
  const sensor = await broker.device('sensor', SENSORS)
  const n = 2_000
  await Promise.all(Array.from(
    { length: n }, (_, i) => sensor.client.publishAsync(`sensors/${i}`, LARGE, { qos: 1, retain: true })
  ))
  const reader = await broker.rawDevice('reader', SENSORS)
  reader.freeze()
  reader.packet(subscribePacket(1, 'sensors/#'))
  for (let i = 0; i < 50; i++) await sensor.subscribe('user/sensor/live')
  reader.thaw()
  await until(() => reader.of('publish').length === n, 'all came')
  expect(reader.closed).toBe(false)
})

test('one frozen device among 200 busy ones is not felt by the others', async () => {
  await using broker = await startTestBroker()
  const members = Array.from({ length: 200 }, (_, i) => `member-${i}`)
  const group = await broker.group('bob', 'ann', ...members)
  const direct = await broker.direct('bob', 'ann')
  const devices =
    await Promise.all(members.map(id => broker.device(id, { clean: true, subscribe: [`user/${id}/inbox`] })))
  const frozen = await subscribed(broker, 'ann', 'user/ann/inbox')

  frozen.freeze()
  await say(broker, direct, 300, LARGE)
  const pump = [...broker.messaging.trackedSessions.of('ann')][0]!.pump
  // It may still be reading what came before.
  await until(() => pump.inFlight === WINDOW, 'the window is full')
  for (let n = 1; n <= 20; n++) {
    await broker.say('bob', group, LARGE)
    await until(() => devices.every(device => device.received.length > n), `all have message ${n}`)
  }
  // They had all of it while the frozen one was neither served nor disconnected, which takes a minute.
  expect(pump.inFlight).toBe(WINDOW)
  expect(frozen.closed).toBe(false)
})

test('10,000 waiting events come in order, with flat memory', async () => {
  await using broker = await startTestBroker()
  const conversation = await broker.direct('bob', 'ann')
  const n = 10_000
  for (let i = 0; i < n; i += 1_000) await say(broker, conversation, 1_000)
  const raw = await broker.rawDevice('ann', { clientId: 'raw', clean: false })
  let [held, heap] = [0, 0]
  const heapBefore = process.memoryUsage().heapUsed
  raw.packet(subscribePacket(1, 'user/ann/inbox'))
  let acknowledged = 0
  let last = 0
  await until(() => {
    const pump = [...broker.messaging.trackedSessions.of('ann')][0]?.pump
    held = Math.max(held, pump?.inFlight ?? 0)
    heap = Math.max(heap, process.memoryUsage().heapUsed - heapBefore)
    const arrived = raw.of('publish')
    for (const packet of arrived) {
      expect(JSON.parse(packet.payload.toString()).seq).toBe(last + 1)
      last++
      raw.packet(pubackPacket(packet.messageId!))
    }
    acknowledged += arrived.length
    raw.received.length = 0 // what the test keeps is not what the broker keeps
    return acknowledged === n + 1
  }, 'all came')
  expect(held).toBeLessThanOrEqual(WINDOW)
  // All of it would be 10,000 events of more than 500 bytes, several times over; garbage is what varies.
  expect(heap).toBeLessThan(100 * 1024 * 1024)
})
