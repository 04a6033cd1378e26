/** Hundreds of packets that are wrong in some way: each may cost its sender the connection, and no more. */
import { generate, type Packet } from 'mqtt-packet'
import { expect, test } from 'vitest'
import {
  connectPacket, publishPacket, pubackPacket, startTestBroker, subscribePacket, type RawClient,
  type TestBroker
} from '../../support/broker.ts'
import { until } from '../../support/until.ts'

const SENSORS = { claims: { acl: { pub: ['sensors/#'], sub: ['sensors/#'] } } }
const SEED = 20_240_601
const RANDOM_CASES = 100

type Case = [name: string, bytes: Buffer]

const WELL_FORMED: Record<string, Buffer> = Object.fromEntries(Object.entries<Packet>({
  CONNECT: connectPacket({
    password: 'x', will: { topic: 'sensors/1', payload: Buffer.from('gone'), qos: 1, retain: true }
  }),
  'PUBLISH with QoS 0': publishPacket('sensors/1', 'x'),
  'PUBLISH with QoS 1': publishPacket('sensors/1', 'x', 1, 1),
  'PUBLISH with QoS 2': publishPacket('sensors/1', 'x', 2, 2),
  'a command': publishPacket('user/ann/outbox', '{"type":"ack","seq":0}', 1, 3),
  PUBACK: pubackPacket(40_000),
  PUBREC: { cmd: 'pubrec', messageId: 1 } as Packet,
  PUBREL: { cmd: 'pubrel', messageId: 1 } as Packet,
  PUBCOMP: { cmd: 'pubcomp', messageId: 1 } as Packet,
  SUBSCRIBE: subscribePacket(1, 'sensors/1'),
  UNSUBSCRIBE: { cmd: 'unsubscribe', messageId: 1, unsubscriptions: ['sensors/1'] } as Packet,
  PINGREQ: { cmd: 'pingreq' },
  DISCONNECT: { cmd: 'disconnect' } as Packet
}).map(([name, packet]) => [name, generate(packet)]))

/** All of them are shorter than 128 bytes: the length is the second byte. */
const withLength = (bytes: Buffer): Buffer =>
  Buffer.concat([bytes.subarray(0, 1), Buffer.from([bytes.length - 2]), bytes.subarray(2)])
const text = (bytes: Buffer | string): Buffer => {
  const content = Buffer.from(bytes as string)
  return Buffer.concat([Buffer.from([content.length >> 8, content.length & 0xFF]), content])
}
const packet = (header: number, ...parts: Array<Buffer | number[]>): Buffer =>
  withLength(Buffer.concat([Buffer.from([header, 0]), ...parts.map(part => Buffer.from(part as Buffer))]))

const truncated = (): Case[] => Object.entries(WELL_FORMED).flatMap(([name, bytes]) =>
  Array.from({ length: bytes.length - 1 }, (_, i): Case =>
    [`${name} cut after ${i + 1} bytes`, bytes.subarray(0, i + 1)]))

const shortened = (): Case[] => Object.entries(WELL_FORMED).flatMap(([name, bytes]) =>
  Array.from({ length: bytes.length - 2 }, (_, i): Case =>
    [`${name} that ends after ${i + 2} bytes`, withLength(bytes.subarray(0, i + 2))]))

const wrongFlags = (): Case[] => Object.entries(
  WELL_FORMED
).flatMap(([name, bytes]) => [0, 1, 2, 3, 4, 6, 7, 8, 15]
  .filter(flags => flags !== (bytes[0]! & 0xF))
  .map((flags): Case => [
    `${name} with flags ${flags}`,
    Buffer.concat([Buffer.from([(bytes[0]! & 0xF0) | flags]), bytes.subarray(1)])
  ]))

const emptyTypes = (): Case[] => Array.from({ length: 16 }, (_, type): Case =>
  [`an empty packet of type ${type}`, Buffer.from([type << 4 | ([6, 8, 10].includes(type) ? 2 : 0), 0])])

const wrongLengths = (): Case[] => [
  0x10, 0x30, 0x32, 0x40, 0x82, 0xA2, 0xC0, 0xE0
].flatMap((header): Case[] => [
  [0xFF, 0xFF, 0xFF, 0xFF], [
    0xFF, 0xFF, 0xFF, 0xFF, 0x7F
  ], [0x80, 0x80, 0x80, 0x80, 0x01], [0xFF, 0xFF, 0xFF, 0x7F], [0x80, 0x00], [0x80], [0x7F]
].map((length): Case => [
  `${header.toString(16)} with length ${Buffer.from(length).toString('hex')}`,
  Buffer.from([header, ...length, 0, 4])
]))

const BAD_TEXTS: Record<string, Buffer> = {
  'a broken sequence': Buffer.from([0x73, 0xC3, 0x28]),
  'a lone surrogate': Buffer.from([0x73, 0xED, 0xA0, 0x80]),
  'U+0000': Buffer.from('sensors/\0'),
  'an overlong slash': Buffer.from([0x73, 0xC0, 0xAF]),
  'nothing at all': Buffer.alloc(0)
}
const connectWith = (
  { clientId = 'raw', user = 'ann', will = 'sensors/1' }: Record<string, Buffer | string>
): Buffer =>
  packet(
    0x10, text('MQTT'), [4, 0xC6, 0, 60], text(clientId!), text(will!), text('gone'), text(user!), text('x')
  )

const badTexts = (): Case[] => Object.entries(BAD_TEXTS).flatMap(([name, bad]): Case[] => [
  [`PUBLISH to ${name}`, packet(0x30, text(bad), [0x78])],
  [`PUBLISH with QoS 1 to ${name}`, packet(0x32, text(bad), [0, 1, 0x78])],
  [`SUBSCRIBE to ${name}`, packet(0x82, [0, 1], text(bad), [1])],
  [`UNSUBSCRIBE from ${name}`, packet(0xA2, [0, 1], text(bad))],
  [`CONNECT with ${name} as client id`, connectWith({ clientId: bad })],
  [`CONNECT with ${name} as user name`, connectWith({ user: bad })],
  [`CONNECT with ${name} as will topic`, connectWith({ will: bad })],
  [`CONNECT with ${name} as protocol`, packet(0x10, text(bad), [4, 2, 0, 60], text('raw'))]
])

const badContents = (): Case[] => [
  ['PUBLISH with identifier 0', packet(0x32, text('sensors/1'), [0, 0, 0x78])],
  ['PUBLISH with QoS 3', packet(0x36, text('sensors/1'), [0, 1, 0x78])],
  ['PUBLISH whose topic is longer than itself', packet(0x30, [0xFF, 0xFF, 0x78])],
  ['PUBLISH to a wildcard', packet(0x30, text('sensors/#'), [0x78])],
  ['PUBLISH to 200 levels', withLevels(0x30, [], [])],
  ['SUBSCRIBE to 200 levels', withLevels(0x82, [0, 1], [1])],
  ['SUBSCRIBE with identifier 0', packet(0x82, [0, 0], text('sensors/1'), [1])],
  ['SUBSCRIBE with QoS 3', packet(0x82, [0, 1], text('sensors/1'), [3])],
  ['SUBSCRIBE with reserved bits', packet(0x82, [0, 1], text('sensors/1'), [0xF1])],
  ['SUBSCRIBE to nothing', packet(0x82, [0, 1])],
  ['SUBSCRIBE to a filter with # in the middle', packet(0x82, [0, 1], text('sensors/#/x'), [1])],
  ['SUBSCRIBE to a filter with half a wildcard', packet(0x82, [0, 1], text('sensors/a+'), [1])],
  ['SUBSCRIBE to a share of nothing', packet(0x82, [0, 1], text('$share/'), [1])],
  ['SUBSCRIBE to a name every object has', packet(0x82, [0, 1], text('__proto__'), [1])],
  ['UNSUBSCRIBE with identifier 0', packet(0xA2, [0, 0], text('sensors/1'))],
  ['UNSUBSCRIBE from nothing', packet(0xA2, [0, 1])],
  ...[0x40, 0x50, 0x62, 0x70].map((header): Case =>
    [`${header.toString(16)} with identifier 0`, packet(header, [0, 0])]),
  ...[0x40, 0x50, 0x62, 0x70].map((header): Case =>
    [`${header.toString(16)} with an unknown identifier`, packet(header, [0xFF, 0xFF])]),
  ...[0x20, 0x90, 0xB0, 0xD0, 0xF0].map((header): Case =>
    [`${header.toString(16)}, which only a broker sends`, packet(header, [0, 1, 0])]),
  ['a second CONNECT', WELL_FORMED.CONNECT!],
  ['two CONNECTs at once', Buffer.concat([WELL_FORMED.CONNECT!, WELL_FORMED.CONNECT!])],
  ['CONNECT with the reserved flag', packet(0x10, text('MQTT'), [4, 3, 0, 60], text('raw'))],
  ['CONNECT with will QoS 3', packet(
    0x10, text('MQTT'), [4, 0x1E, 0, 60], text('raw'), text('sensors/1'), text('x')
  )],
  ['CONNECT with a will flag without a will', packet(0x10, text('MQTT'), [4, 6, 0, 60], text('raw'))],
  ['CONNECT with will retain without a will', packet(0x10, text('MQTT'), [4, 0x22, 0, 60], text('raw'))],
  ['CONNECT with a password without a user name', packet(
    0x10, text('MQTT'), [4, 0x42, 0, 60], text('raw'), text('x')
  )],
  ['CONNECT with something behind it', packet(0x10, text('MQTT'), [4, 2, 0, 60], text('raw'), [1, 2, 3])],
  ...[
    'MQIsdp', 'mqtt', 'MQTTT', 'HTTP', ''
  ].flatMap(name => [0, 1, 2, 3, 4, 5, 6, 127, 128, 131, 132, 255].map((level): Case =>
    [`CONNECT of ${name} ${level}`, packet(0x10, text(name), [level, 2, 0, 60], text('raw'))]))
]

function withLevels (header: number, before: number[], after: number[]): Buffer {
  const body = Buffer.concat([Buffer.from(before), text('sensors' + '/x'.repeat(200)), Buffer.from(after)])
  return Buffer.concat([Buffer.from([header, 0x80 | body.length & 0x7F, body.length >> 7]), body])
}

/** mulberry32: the same bytes in every run. */
function randomBytes (seed: number): () => number {
  let state = seed
  return () => {
    state = state + 0x6D2B79F5 | 0
    let mixed = Math.imul(state ^ state >>> 15, 1 | state)
    mixed = mixed + Math.imul(mixed ^ mixed >>> 7, 61 | mixed) ^ mixed
    return (mixed ^ mixed >>> 14) & 0xFF
  }
}

function random (): Case[] {
  const next = randomBytes(SEED)
  return Array.from({ length: RANDOM_CASES }, (_, i): Case => {
    const bytes = Buffer.from(Array.from({ length: 2 + next() % 100 }, next))
    // Every second one is at least a packet by its header: it gets further.
    if (i % 2 === 1) {
      bytes.set([bytes[0]! & 0xF0 | ([6, 8, 10].includes(bytes[0]! >> 4) ? 2 : 0), bytes.length - 2])
    }
    return [`random bytes ${i}`, bytes]
  })
}

const CORPUS = [
  ...truncated(), ...shortened(), ...wrongFlags(), ...emptyTypes(), ...wrongLengths(), ...badTexts(),
  ...badContents(), ...random()
]

/** A device that is served all the while. */
async function neighbour (broker: TestBroker): Promise<() => Promise<void>> {
  const raw = await broker.rawDevice('neighbour')
  let pings = 0
  return async () => {
    raw.packet({ cmd: 'pingreq' })
    await raw.nth('pingresp', ++pings)
  }
}

async function nothingIsLeft (broker: TestBroker): Promise<void> {
  await until(() => broker.counts().connections === 1, 'no connection is left but the neighbour\'s')
  expect(broker.counts()).toMatchObject({ devices: 1, addresses: 0 })
  expect(broker.messaging.trackedSessions.count()).toBe(0)
  expect(broker.logged.filter(({ level }) => level >= 50)).toEqual([])
}

test('the corpus has at least 200 cases, all different', () => {
  expect(new Set(CORPUS.map(([name]) => name)).size).toBe(CORPUS.length)
  expect(CORPUS.length).toBeGreaterThanOrEqual(200)
})

for (const [when, open] of Object.entries<(broker: TestBroker) => Promise<RawClient>>({
  'before CONNECT': async broker => broker.raw(),
  'after CONNECT': broker => broker.rawDevice('ann', { clean: false, ...SENSORS })
})) {
  test(`whatever comes ${when}, the broker serves the others`, async () => {
    await using broker = await startTestBroker()
    const stillServed = await neighbour(broker)
    const bystander = await broker.device('bob', { ...SENSORS, subscribe: ['sensors/#', 'user/bob/inbox'] })
    for (const [name, bytes] of CORPUS) {
      const raw = await open(broker)
      raw.bytes(bytes)
      raw.end()
      await until(() => raw.closed, `${name}: the connection is closed`)
      await stillServed().catch((error: unknown) => { throw new Error(`after ${name}`, { cause: error }) })
    }
    expect(bystander.received.filter(({ topic }) =>
      !topic.startsWith('sensors/') || topic.includes('\0'))).toEqual([])
    const conversation = await broker.direct('ann', 'bob')
    await broker.say('ann', conversation, 'still there?')
    await until(() => bystander.events.length === 2, 'the bystander is served')
    await bystander.leave()
    await nothingIsLeft(broker)
  })
}

test('half-open sockets end with their keepalive and leave nothing', async () => {
  await using broker = await startTestBroker()
  const stillServed = await neighbour(broker)
  const conversation = await broker.direct('bob', 'ann')
  const gone = await Promise.all(Array.from({ length: 50 }, async (_, i) => {
    const raw = await broker.rawDevice(`user-${i}`, { keepalive: 1, clean: false })
    raw.packet(subscribePacket(1, `user/user-${i}/#`))
    await raw.nth('suback', 1)
    return raw
  }))
  const phone = await broker.rawDevice('ann', { keepalive: 1, clean: false })
  phone.packet(subscribePacket(1, 'user/ann/inbox'))
  await phone.nth('publish', 1)
  // From now on they neither read nor answer: to the broker they are gone without a word.
  for (const raw of [...gone, phone]) raw.freeze()
  await broker.say('bob', conversation, 'hello')
  await until(() => broker.counts().connections === 1, 'all are closed')
  await stillServed()
  await nothingIsLeft(broker)
  await until(
    async () => (await broker.sql('select seq::int from push_due where user_id = $1', 'ann'))[0]?.seq === 2,
    'what they did not acknowledge is pushed'
  )
})

test('a client that only closes its half of the connection is closed', async () => {
  await using broker = await startTestBroker()
  await neighbour(broker)
  const [before, after] = [broker.raw(), await broker.rawDevice('ann')]
  for (const raw of [before, after]) raw.end()
  await until(() => before.closed && after.closed, 'both are closed')
  await nothingIsLeft(broker)
})
