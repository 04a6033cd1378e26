/** How much one client may have, and how long it may take. */
import { connect, type Socket } from 'node:net'
import mqtt from 'mqtt'
import { generate, type Packet } from 'mqtt-packet'
import { expect, test, vi } from 'vitest'
import { MAX_SUBSCRIPTIONS } from '../../../broker/inbox/subscriptions.ts'
import { MAX_DEVICES } from '../../../broker/inbox/registry.ts'
import {
  connectPacket, publishPacket, pubackPacket, startTestBroker, subscribePacket, type RawClient,
  type TestBroker
} from '../../support/broker.ts'
import { until } from '../../support/until.ts'
import { upgradeRequest } from '../transport/upgrade-request.ts'

const REFUSED = 128
const SENSORS = { claims: { acl: { pub: ['sensors/#'], sub: ['sensors/#'] } } }
const filters = (from: number, n: number): string[] =>
  Array.from({ length: n }, (_, i) => `sensors/${from + i}`)

test('a client has at most 100 subscriptions, in one SUBSCRIBE or in many', async () => {
  await using broker = await startTestBroker()
  const atOnce = await broker.device('ann', SENSORS)
  const codes = await atOnce.subscribe(filters(0, MAX_SUBSCRIPTIONS + 3))
  expect(codes).toEqual([...Array(MAX_SUBSCRIPTIONS).fill(1), REFUSED, REFUSED, REFUSED])
  expect(await atOnce.subscribe(['user/ann/inbox', 'user/ann/live'])).toEqual([1, 1])
  expect(await atOnce.subscribe('sensors/0', 0)).toEqual([0])
  await atOnce.client.unsubscribeAsync('sensors/5')
  expect(await atOnce.subscribe(['sensors/new', 'sensors/newer'])).toEqual([1, REFUSED])

  const oneByOne = await broker.rawDevice('bob', SENSORS)
  for (let i = 0; i <= MAX_SUBSCRIPTIONS; i++) oneByOne.packet(subscribePacket(i + 1, `sensors/${i}`))
  await oneByOne.nth('suback', MAX_SUBSCRIPTIONS + 1)
  expect(oneByOne.of('suback').sort((a, b) => a.messageId! - b.messageId!)
    .flatMap(packet => packet.granted)).toEqual([...Array(MAX_SUBSCRIPTIONS).fill(1), REFUSED])
})

test('a subscription beyond the limit is neither served nor stored', async () => {
  await using broker = await startTestBroker()
  const reader = await broker.device('ann', SENSORS)
  expect((await reader.subscribe(filters(0, MAX_SUBSCRIPTIONS + 1))).at(-1)).toBe(REFUSED)
  const sensor = await broker.device('sensor', SENSORS)
  const publish = async (): Promise<void> => {
    for (const topic of [MAX_SUBSCRIPTIONS, MAX_SUBSCRIPTIONS - 1]) {
      await sensor.client.publishAsync(`sensors/${topic}`, 'x', { qos: 1 })
    }
  }
  await publish()
  await until(() => reader.received.length > 0, 'the last one within came')
  await reader.leave()
  await publish()
  const again = await broker.device('ann', SENSORS)
  await until(() => again.received.length > 0, 'it came again')
  await publish()
  await until(() => again.received.length > 1, 'it is still subscribed to')
  expect(new Set([...reader.received, ...again.received].map(message => message.topic))).toEqual(new Set([
    `sensors/${MAX_SUBSCRIPTIONS - 1}`
  ]))
})

async function fill (broker: TestBroker, n: number): Promise<RawClient[]> {
  return await Promise.all(Array.from(
    { length: n }, (_, i) => broker.rawDevice('ann', { clientId: `device ${i}`, ...SENSORS })
  ))
}

/** From here on the clock is later than at everything before. */
async function nextMillisecond (): Promise<void> {
  const now = Date.now()
  await until(() => Date.now() > now, 'the clock ticks')
}

test('of a user\'s 21 devices the one that has been idle for longest goes', async () => {
  await using broker = await startTestBroker()
  const devices = await fill(broker, MAX_DEVICES)
  const other = await broker.rawDevice('bob')
  const signs: Packet[] = [
    { cmd: 'pingreq' }, subscribePacket(1, 'sensors/1'), publishPacket('sensors/1', 'x', 1, 1),
    publishPacket('user/ann/outbox', '{}', 1, 1), pubackPacket(40_000)
  ]
  await nextMillisecond()
  // All but two give a sign of life, each kind of which counts.
  const active = devices.filter((_, i) => i !== 7 && i !== 13)
  active.forEach((device, i) => device.packet(signs[i % signs.length]!))
  // A round trip: what was sent before has been seen.
  for (const device of active) {
    device.packet(subscribePacket(9, 'user/ann/live'))
    await until(() => device.of('suback').some(packet => packet.messageId === 9), 'it is answered')
  }
  for (const n of [1, 2]) {
    await broker.rawDevice('ann', { clientId: `newer ${n}` })
    await until(() => devices.filter(device => device.closed).length === n, 'one goes')
  }
  expect(devices.flatMap((device, i) => device.closed ? [i] : [])).toEqual([7, 13])
  expect(other.closed).toBe(false)
})

for (const [name, sign] of Object.entries<Packet>({
  PINGREQ: { cmd: 'pingreq' },
  PUBACK: pubackPacket(40_000),
  PUBLISH: publishPacket('sensors/1', 'x', 1, 1),
  'a command': publishPacket('user/ann/outbox', '{}', 1, 1),
  SUBSCRIBE: subscribePacket(1, 'sensors/1')
})) {
  test(`${name} is a sign of life`, async () => {
    await using broker = await startTestBroker()
    const oldest = await broker.rawDevice('ann', { clientId: 'oldest', ...SENSORS })
    await nextMillisecond()
    const second = await broker.rawDevice('ann', { clientId: 'second' })
    await nextMillisecond()
    await fill(broker, MAX_DEVICES - 2)
    oldest.packet(sign)
    const settled = await broker.device('bob') // whatever was sent before has been read by now
    await settled.subscribe('user/bob/live')
    await settled.subscribe('user/bob/live')
    await broker.rawDevice('ann', { clientId: 'newest' })
    await until(() => oldest.closed || second.closed, 'one goes')
    expect([oldest.closed, second.closed]).toEqual([false, true])
  })
}

test('a device that connects again and again takes no other device\'s place', async () => {
  await using broker = await startTestBroker()
  const devices = await fill(broker, MAX_DEVICES - 1)
  for (let i = 0; i < 5; i++) await broker.rawDevice('ann', { clientId: 'restless' })
  expect(devices.filter(device => device.closed)).toEqual([])
  await until(() => broker.counts().devices === MAX_DEVICES, 'its older connections are gone')
})

test('a keepalive is at most half an hour, and none at all is half an hour too', async () => {
  await using broker = await startTestBroker()
  const timeouts = vi.spyOn(globalThis, 'setTimeout')
  try {
    const longest = 1_800 * 1_500 + 1
    const interval = async (keepalive: number): Promise<number> => {
      timeouts.mockClear()
      await broker.rawDevice('ann', { keepalive, clientId: `keepalive ${keepalive}` })
      return timeouts.mock.calls.map(([, ms]) => ms ?? 0).find(ms => ms % 1_500 === 1)!
    }
    expect(await interval(0)).toBe(longest)
    expect(await interval(65_535)).toBe(longest)
    expect(await interval(60)).toBe(60 * 1_500 + 1)
  } finally {
    timeouts.mockRestore()
  }
})

test('a client that is silent for one and a half times its keepalive is closed', async () => {
  await using broker = await startTestBroker()
  const connectedAt = performance.now()
  const [silent, alive] =
    await Promise.all([broker.rawDevice('ann', { keepalive: 1 }), broker.rawDevice('bob', { keepalive: 60 })])
  await until(() => silent.closed, 'it is closed')
  expect(performance.now() - connectedAt).toBeGreaterThanOrEqual(1_500)
  expect(alive.closed).toBe(false)
})

const mqttUpgrade = upgradeRequest('/mqtt', 'sec-websocket-protocol: mqtt')

/** Writes a byte of `bytes` now and then, for seconds, the last one never. */
function drip (socket: Socket, bytes: Buffer, atEnd: () => void): void {
  let at = 0
  const timer = setInterval(() => {
    if (at === bytes.length - 1) return atEnd()
    socket.write(bytes.subarray(at, ++at))
  }, 50)
  socket.once('close', () => clearInterval(timer))
}

test('a connection without a CONNECT in time is closed, on TCP and on WebSocket, busy or not', async () => {
  const connectTimeoutMs = 400
  await using broker = await startTestBroker({ broker: { connectTimeoutMs } })
  const openedAt = performance.now()
  const closedAfter: Record<string, number> = {}
  const opened: Socket[] = []
  let ends = 0
  const end = (): void => { ends++ }
  function open (name: string, port: number, then: (socket: Socket) => void): void {
    const socket = connect({ host: '127.0.0.1', port })
    opened.push(socket)
    socket.on('error', () => {}).on('close', () => { closedAfter[name] = performance.now() - openedAt })
      .resume()
    then(socket)
  }
  const connectBytes = generate(connectPacket({ password: await broker.token('ann') }))
  const frame = (bytes: Buffer): Buffer =>
    Buffer.concat([Buffer.from([0x82, 0x80 | bytes.length, 0, 0, 0, 0]), bytes])
  open('silent on TCP', broker.mqttPort, () => {})
  open('dripping on TCP', broker.mqttPort, socket => drip(socket, connectBytes, end))
  open('silent on WebSocket', broker.wsPort, () => {})
  open('dripping its upgrade', broker.wsPort, socket => drip(socket, Buffer.from(mqttUpgrade), end))
  open('upgraded and silent', broker.wsPort, socket => socket.write(mqttUpgrade))
  open('upgraded and dripping frames', broker.wsPort, socket => {
    socket.write(mqttUpgrade)
    const frames = Buffer.concat(Array.from(connectBytes, byte => frame(Buffer.from([byte]))))
    socket.once('data', () => drip(socket, frames, end))
  })
  open('upgraded and pinging', broker.wsPort, socket => {
    socket.write(mqttUpgrade)
    const pings = Buffer.concat(Array.from({ length: 500 }, () => Buffer.from([0x89, 0x80, 0, 0, 0, 0])))
    socket.once('data', () => drip(socket, pings, end))
  })
  const served = await broker.device('ann', { over: 'ws' })
  await until(() => Object.keys(closedAfter).length === opened.length, 'all are closed')
  for (const [name, ms] of Object.entries(closedAfter)) {
    expect([name, ms >= connectTimeoutMs - 1]).toEqual([name, true])
  }
  expect(ends).toBe(0) // the drips were cut short
  expect(served.client.connected).toBe(true)
  await until(() => broker.counts().connections === 1, 'nothing is left of them')
})

test('a client of MQTT 3.1 is served', async () => {
  await using broker = await startTestBroker()
  const conversation = await broker.direct('bob', 'a'.repeat(64))
  const client = mqtt.connect({
    port: broker.mqttPort,
    protocolId: 'MQIsdp',
    protocolVersion: 3,
    reconnectPeriod: 0,
    clean: false,
    clientId: '🙂'.repeat(128),
    username: 'a'.repeat(64),
    password: await broker.token('a'.repeat(64))
  })
  const received: string[] = []
  client.on('message', topic => received.push(topic)).on('error', () => {})
  await until(() => client.connected, 'it is connected')
  await client.subscribeAsync(`user/${'a'.repeat(64)}/inbox`, { qos: 1 })
  await broker.say('bob', conversation, 'hello')
  await until(() => received.length === 2, 'its events came')
  await client.endAsync(true)
})
