/** The PROXY protocol: what is a header, what is none, and that the bytes behind it are the client's. */
import { generate } from 'mqtt-packet'
import { expect, test } from 'vitest'
import { parseProxyHeader } from '../../../broker/transport/proxy-protocol.ts'
import { connectPacket, startTestBroker, type RawClient, type TestBroker } from '../../support/broker.ts'
import { until } from '../../support/until.ts'

const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
const LOCAL = 0x20
const PROXY = 0x21
const TCP4 = 0x11
const TCP6 = 0x21

function binary (command: number, family: number, body: Buffer): Buffer {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(body.length)
  return Buffer.concat([SIGNATURE, Buffer.from([command, family]), length, body])
}

const ipv4 = (source: number[]): Buffer => Buffer.from([...source, 10, 0, 0, 1, 0x30, 0x39, 0x07, 0x5B])
const ipv6 = (source: string): Buffer =>
  Buffer.concat([Buffer.from(source, 'hex'), Buffer.alloc(16), Buffer.from([0x30, 0x39, 0x07, 0x5B])])
const TLV = Buffer.from([0x03, 0, 4, 1, 2, 3, 4])

const HEADERS: Record<string, [Buffer, string | undefined]> = {
  'v1 TCP4': [Buffer.from('PROXY TCP4 198.51.100.7 10.0.0.1 12345 1883\r\n'), '198.51.100.7'],
  'v1 TCP6': [Buffer.from('PROXY TCP6 2001:db8::7 2001:db8::1 12345 1883\r\n'), '2001:db8::7'],
  'v1 TCP6 at its longest': [Buffer.from(
    `PROXY TCP6 ${'ffff:'.repeat(7)}ffff ${'ffff:'.repeat(7)}ffff 65535 65535\r\n`
  ), `${'ffff:'.repeat(7)}ffff`],
  'v1 UNKNOWN': [Buffer.from('PROXY UNKNOWN\r\n'), undefined],
  'v1 UNKNOWN with more': [Buffer.from('PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n'), undefined],
  'v2 LOCAL': [binary(LOCAL, 0, Buffer.alloc(0)), undefined],
  'v2 LOCAL with addresses': [binary(LOCAL, TCP4, ipv4([198, 51, 100, 7])), undefined],
  'v2 IPv4': [binary(PROXY, TCP4, ipv4([198, 51, 100, 7])), '198.51.100.7'],
  'v2 IPv4 with extensions': [
    binary(PROXY, TCP4, Buffer.concat([ipv4([198, 51, 100, 7]), TLV])), '198.51.100.7'
  ],
  'v2 IPv6': [binary(PROXY, TCP6, ipv6('20010db8000000000000000000000007')), '2001:db8:0:0:0:0:0:7'],
  'v2 of another family': [binary(PROXY, 0x31, Buffer.alloc(216)), undefined]
}

const NO_HEADERS: Record<string, Buffer> = {
  'an MQTT packet': generate(connectPacket({ password: 'x' })),
  'an HTTP request': Buffer.from('GET / HTTP/1.1\r\n\r\n'),
  zeros: Buffer.alloc(64),
  'v1 of an unknown protocol': Buffer.from('PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n'),
  'v1 of a property every object has': Buffer.from('PROXY constructor 1.2.3.4 1.2.3.4 1 2\r\n'),
  'v1 without addresses': Buffer.from('PROXY TCP4\r\n'),
  'v1 with an address of the other family': Buffer.from('PROXY TCP4 ::1 ::1 1 2\r\n'),
  'v1 with no address': Buffer.from('PROXY TCP4 1.2.3.999 1.2.3.4 1 2\r\n'),
  'v1 without ports': Buffer.from('PROXY TCP4 1.2.3.4 1.2.3.4\r\n'),
  'v1 with a port too high': Buffer.from('PROXY TCP4 1.2.3.4 1.2.3.4 65536 1\r\n'),
  'v1 with a port that is none': Buffer.from('PROXY TCP4 1.2.3.4 1.2.3.4 -1 1\r\n'),
  'v1 with something behind the ports': Buffer.from('PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n'),
  'v1 without an end': Buffer.from('PROXY TCP4 ' + '1'.repeat(96)),
  'v1 with its end too late': Buffer.from('PROXY UNKNOWN ' + '1'.repeat(94) + '\r\n'),
  'v2 of version 1': binary(0x11, TCP4, ipv4([1, 2, 3, 4])),
  'v2 with an unknown command': binary(0x22, TCP4, ipv4([1, 2, 3, 4])),
  'v2 IPv4 that is too short': binary(PROXY, TCP4, Buffer.alloc(11)),
  'v2 IPv6 that is too short': binary(PROXY, TCP6, Buffer.alloc(35)),
  'v2 that is too large': binary(PROXY, TCP4, Buffer.alloc(2_000)),
  'v2 that announces too much': Buffer.concat([SIGNATURE, Buffer.from([PROXY, TCP4, 0xFF, 0xFF])])
}

test('each kind of header is understood', () => {
  for (const [name, [bytes, address]] of Object.entries(HEADERS)) {
    expect([name, parseProxyHeader(bytes)]).toEqual([name, { length: bytes.length, address }])
    expect([name, parseProxyHeader(Buffer.concat([bytes, Buffer.from('more')]))]).toEqual([
      name, { length: bytes.length, address }
    ])
  }
})

test('a header that is not whole needs more bytes', () => {
  for (const [name, [bytes]] of Object.entries(HEADERS)) {
    for (let length = 0; length < bytes.length; length++) {
      expect([
        name, length, parseProxyHeader(bytes.subarray(0, length))
      ]).toEqual([name, length, undefined])
    }
  }
})

test('what is no header is refused', () => {
  for (const [name, bytes] of Object.entries(NO_HEADERS)) {
    expect(() => parseProxyHeader(bytes), name).toThrow(/PROXY/)
  }
})

/** The returned bytes are CONNECT and PINGREQ: both must get through. */
async function hello (broker: TestBroker, clientId = 'raw'): Promise<Buffer> {
  const connect = generate(connectPacket({ clientId, password: await broker.token('ann') }))
  return Buffer.concat([connect, generate({ cmd: 'pingreq' })])
}

async function served (raw: RawClient): Promise<void> {
  expect((await raw.nth('connack', 1)).returnCode).toBe(0)
  await raw.nth('pingresp', 1)
}

test('behind a balancer the client\'s bytes arrive whole, however they are cut', async () => {
  await using broker = await startTestBroker({ broker: { proxyProtocol: true } })
  for (const [name, [header]] of Object.entries(HEADERS)) {
    const together = broker.raw()
    together.bytes(Buffer.concat([header, await hello(broker, name)]))
    await served(together)
    together[Symbol.dispose]()
  }
  const bytes = Buffer.concat([HEADERS['v2 IPv6']![0], await hello(broker)])
  for (const at of [1, 12, 15, HEADERS['v2 IPv6']![0].length, HEADERS['v2 IPv6']![0].length + 1]) {
    const cut = broker.raw()
    cut.bytes(bytes.subarray(0, at))
    await new Promise(resolve => setImmediate(resolve))
    cut.bytes(bytes.subarray(at))
    await served(cut)
  }
  const slow = broker.raw()
  for (const byte of bytes) {
    slow.bytes(Buffer.from([byte]))
    await new Promise(resolve => setImmediate(resolve))
  }
  await served(slow)
})

test('behind a balancer a connection without a valid header is closed', async () => {
  await using broker = await startTestBroker({ broker: { proxyProtocol: true, connectTimeoutMs: 300 } })
  for (const [name, bytes] of Object.entries(NO_HEADERS)) {
    const raw = broker.raw()
    raw.bytes(bytes)
    await until(() => raw.closed, `${name} closes the connection`)
    expect([name, raw.received]).toEqual([name, []])
  }
  const silent = broker.raw()
  const halfway = broker.raw()
  halfway.bytes(HEADERS['v1 TCP4']![0].subarray(0, 20))
  const gone = broker.raw()
  gone.bytes(HEADERS['v1 TCP4']![0].subarray(0, 20))
  gone[Symbol.dispose]()
  await until(() => silent.closed && halfway.closed, 'both are closed')
  await until(
    () => broker.counts().connections === 0 && broker.counts().addresses === 0, 'nothing is left of them'
  )
})

test('without PROXY_PROTOCOL a header is no MQTT', async () => {
  await using broker = await startTestBroker()
  const raw = broker.raw()
  raw.bytes(Buffer.concat([HEADERS['v1 TCP4']![0], await hello(broker)]))
  await until(() => raw.closed, 'the connection closes')
})
