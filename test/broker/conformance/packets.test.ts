/**
 * MQTT 3.1.1, clause by clause: packets that break a rule close their connection [MQTT-4.8.0-1], and the
 * broker answers nothing to them. Those that are right by a hair are served.
 */
import { generate, type Packet } from 'mqtt-packet'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  connectPacket, publishPacket, startTestBroker, subscribePacket, type TestBroker
} from '../../support/broker.ts'
import { until } from '../../support/until.ts'

const SENSORS = { claims: { acl: { pub: ['s/#', '\uFEFF/#'], sub: ['s/#', '\uFEFF/#'] } } }

let broker: TestBroker
let password: string
beforeAll(async () => {
  broker = await startTestBroker()
  password = await broker.token('ann', SENSORS)
})
afterAll(async () => { await broker?.[Symbol.asyncDispose]() })

const text = (content: Buffer | string): Buffer => {
  const bytes = Buffer.from(content as string)
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xFF]), bytes])
}
/** Shorter than 128 bytes, so that the length is one. */
const packet = (header: number, ...parts: Array<Buffer | number[]>): Buffer => {
  const body = Buffer.concat(parts.map(part => Buffer.from(part as Buffer)))
  return Buffer.concat([Buffer.from([header, body.length]), body])
}
const [PUBLISH, PUBLISH_QOS_1, SUBSCRIBE, UNSUBSCRIBE] = [0x30, 0x32, 0x82, 0xA2] as const
const NOT_UTF_8 = Buffer.from([0x73, 0x2F, 0xC3, 0x28])
const SURROGATE = Buffer.from([0x73, 0x2F, 0xED, 0xA0, 0x80])

/** A CONNECT is up to 64 KB, and its length has two bytes. */
function connectBytes (
  { level = 4, name = 'MQTT', flags, parts = [], tail = [] }: {
    level?: number, name?: string, flags?: number, parts?: Buffer[], tail?: number[]
  }
): Buffer {
  const rest = parts.length > 0 ? parts : [text('raw'), text('ann'), text(password)]
  const body = Buffer.concat(
    [text(name), Buffer.from([level, flags ?? 0xC2, 0, 60]), ...rest, Buffer.from(tail)]
  )
  return Buffer.concat([
    Buffer.from([0x10, (body.length & 0x7F) | 0x80, body.length >> 7]), body
  ])
}

test.for<[clause: string, what: string, bytes: Buffer]>([
  ['1.5.3-1', 'PUBLISH to a topic that is no UTF-8', packet(PUBLISH, text(NOT_UTF_8), [0x78])],
  ['1.5.3-1', 'PUBLISH to a topic with a lone surrogate', packet(PUBLISH, text(SURROGATE), [0x78])],
  ['1.5.3-1', 'SUBSCRIBE to a filter that is no UTF-8', packet(SUBSCRIBE, [0, 1], text(NOT_UTF_8), [1])],
  ['1.5.3-1', 'UNSUBSCRIBE from a filter that is no UTF-8', packet(UNSUBSCRIBE, [0, 1], text(NOT_UTF_8))],
  ['1.5.3-2', 'PUBLISH to a topic with U+0000', packet(PUBLISH, text('s/\0'), [0x78])],
  ['1.5.3-2', 'SUBSCRIBE to a filter with U+0000', packet(SUBSCRIBE, [0, 1], text('s/\0'), [1])],
  ['1.5.3-2', 'UNSUBSCRIBE from a filter with U+0000', packet(UNSUBSCRIBE, [0, 1], text('s/\0'))],
  ['2.3.1-1', 'PUBLISH with identifier 0', packet(PUBLISH_QOS_1, text('s/1'), [0, 0, 0x78])],
  ['2.3.1-1', 'SUBSCRIBE with identifier 0', packet(SUBSCRIBE, [0, 0], text('s/1'), [1])],
  ['2.3.1-1', 'UNSUBSCRIBE with identifier 0', packet(UNSUBSCRIBE, [0, 0], text('s/1'))],
  ['2.3.1-1', 'PUBACK with identifier 0', packet(0x40, [0, 0])],
  ['3.1.0-2', 'a second CONNECT', generate(connectPacket({ password: 'x' }))],
  ['3.3.1-2', 'PUBLISH with DUP and QoS 0', packet(0x38, text('s/1'), [0x78])],
  ['3.3.1-4', 'PUBLISH with both bits of QoS', packet(0x36, text('s/1'), [0, 1, 0x78])],
  ['3.3.2-2', 'PUBLISH to a topic with a wildcard', packet(PUBLISH, text('s/+'), [0x78])],
  ['3.4', 'PUBACK with a byte too many', packet(0x40, [0, 1, 0])],
  ['3.4', 'PUBACK without an identifier', packet(0x40)],
  ['3.6.1-1', 'PUBREL with other flags', packet(0x60, [0, 1])],
  ['3.8.1-1', 'SUBSCRIBE with other flags', packet(0x80, [0, 1], text('s/1'), [1])],
  ['3.8.3-3', 'SUBSCRIBE without a filter', packet(SUBSCRIBE, [0, 1])],
  ['3.8.3-4', 'SUBSCRIBE with reserved bits', packet(SUBSCRIBE, [0, 1], text('s/1'), [0x11])],
  ['3.8.3-4', 'SUBSCRIBE with QoS 3', packet(SUBSCRIBE, [0, 1], text('s/1'), [3])],
  ['3.10.1-1', 'UNSUBSCRIBE with other flags', packet(0xA0, [0, 1], text('s/1'))],
  ['3.10.3-2', 'UNSUBSCRIBE without a filter', packet(UNSUBSCRIBE, [0, 1])],
  ['3.12', 'PINGREQ with a body', packet(0xC0, [0])],
  ['3.14', 'DISCONNECT with a body, which is no DISCONNECT', packet(0xE0, [0])],
  ['4.7.1-2', 'SUBSCRIBE to a level that is more than #', packet(SUBSCRIBE, [0, 1], text('s/a#'), [1])],
  ['4.7.1-2', 'SUBSCRIBE to a # that is not last', packet(SUBSCRIBE, [0, 1], text('s/#/a'), [1])],
  ['4.7.1-3', 'SUBSCRIBE to +a', packet(SUBSCRIBE, [0, 1], text('+a'), [1])],
  ['4.7.1-3', 'SUBSCRIBE to a+', packet(SUBSCRIBE, [0, 1], text('a+'), [1])],
  ['4.7.1-3', 'SUBSCRIBE to s/a+', packet(SUBSCRIBE, [0, 1], text('s/a+'), [1])],
  ['4.7.1-3', 'UNSUBSCRIBE from +a', packet(UNSUBSCRIBE, [0, 1], text('+a'))],
  ['4.7.3-1', 'PUBLISH to an empty topic', packet(PUBLISH, text(''), [0x78])],
  ['4.7.3-1', 'SUBSCRIBE to an empty filter', packet(SUBSCRIBE, [0, 1], text(''), [1])],
  ['4.7.3-1', 'UNSUBSCRIBE from an empty filter', packet(UNSUBSCRIBE, [0, 1], text(''))]
])('%s: %s closes the connection', async ([, , bytes]) => {
  using raw = await broker.rawDevice('ann', SENSORS)
  raw.bytes(Buffer.concat([bytes, generate({ cmd: 'pingreq' })]))
  await until(() => raw.closed, 'it is closed')
  expect(raw.received.map(({ cmd }) => cmd)).toEqual(['connack'])
})

test.for<[clause: string, what: string, connect: () => Buffer]>([
  ['1.5.3-1', 'a client id that is no UTF-8', () => connectBytes({
    parts: [text(NOT_UTF_8), text('ann'), text(password)]
  })],
  ['1.5.3-2', 'a client id with U+0000', () => connectBytes({
    parts: [text('r\0'), text('ann'), text(password)]
  })],
  ['1.5.3-2', 'a will topic with U+0000', () => connectBytes({
    flags: 0xC6, parts: [text('raw'), text('s/\0'), text('x'), text('ann'), text(password)]
  })],
  ['3.1', 'bytes behind its password', () => connectBytes({ tail: [0] })],
  ['3.1.2-3', 'the reserved flag', () => connectBytes({ flags: 0xC3 })],
  ['3.1.2-13', 'the QoS of a will and no will', () => connectBytes({ flags: 0xCA })],
  ['3.1.2-14', 'a will with QoS 3', () => connectBytes({
    flags: 0xDE, parts: [text('raw'), text('s/1'), text('x'), text('ann'), text(password)]
  })],
  ['3.1.2-22', 'a password and no user name', () => connectBytes({
    flags: 0x42, parts: [text('raw'), text(password)]
  })],
  ['4.7.1-1', 'a will to a wildcard', () => connectBytes({
    flags: 0xC6, parts: [text('raw'), text('s/#'), text('x'), text('ann'), text(password)]
  })]
])('%s: CONNECT with %s is closed without a CONNACK', async ([, , connect]) => {
  using raw = broker.raw()
  raw.bytes(connect())
  await until(() => raw.closed, 'it is closed')
  expect(raw.received).toEqual([])
})

test.for<[level: number, name: string]>([
  [0, 'MQTT'], [2, 'MQTT'], [2, 'MQIsdp'], [5, 'MQTT'], [6, 'MQTT'], [0x7F, 'MQTT']
])('3.1.2-2: protocol level %i of %s gets CONNACK 1 before the close', async ([level, name]) => {
  using raw = broker.raw()
  // MQTT 5 has properties in the middle.
  raw.bytes(level === 5
    ? generate(connectPacket({ password, protocolVersion: 5 }))
    : connectBytes({ level, name }))
  await until(() => raw.closed, 'it is closed')
  expect(raw.received).toMatchObject([{ cmd: 'connack', returnCode: 1, sessionPresent: false }])
})

test('3.1.0-1: a first packet that is no CONNECT closes the connection', async () => {
  for (const first of [subscribePacket(1, 's/1'), { cmd: 'pingreq' } as Packet]) {
    using raw = broker.raw()
    raw.packet(first)
    await until(() => raw.closed, 'it is closed')
    expect(raw.received).toEqual([])
  }
})

test('3.1.3-8: an empty client id without clean session gets CONNACK 2, and the connection closes', async () => {
  using raw = broker.raw()
  raw.bytes(connectBytes({ flags: 0xC0, parts: [text(''), text('ann'), text(password)] }))
  await until(() => raw.closed, 'it is closed')
  expect(raw.received).toMatchObject([{ cmd: 'connack', returnCode: 2, sessionPresent: false }])
})

test('1.5.3-3: U+FEFF and U+FFFD are characters like any other', async () => {
  using raw = await broker.rawDevice('ann', SENSORS)
  raw.packet(subscribePacket(1, '\uFEFF/#', 0))
  expect((await raw.nth('suback', 1)).granted).toEqual([0])
  raw.packet(publishPacket('\uFEFF/\uFFFD', 'x'))
  expect((await raw.nth('publish', 1)).topic).toBe('\uFEFF/\uFFFD')
})

test('3.9.3-1: SUBACK has a code for every filter, in their order, repeated ones too', async () => {
  using raw = await broker.rawDevice('ann', SENSORS)
  raw.packet({
    cmd: 'subscribe',
    messageId: 9,
    subscriptions: [['s/1', 1], ['other', 1], ['s/1', 2], ['s/2', 0], ['s/1', 0]]
      .map(([topic, qos]) => ({ topic, qos }))
  } as Packet)
  const { messageId, granted } = await raw.nth('suback', 1)
  expect([messageId, granted]).toEqual([9, [1, 128, 2, 0, 0]])
})

test('3.10.4-5: UNSUBSCRIBE from what was never subscribed to is acknowledged', async () => {
  using raw = await broker.rawDevice('ann', SENSORS)
  raw.packet({ cmd: 'unsubscribe', messageId: 9, unsubscriptions: ['s/never', 'other'] } as Packet)
  expect((await raw.nth('unsuback', 1)).messageId).toBe(9)
})
