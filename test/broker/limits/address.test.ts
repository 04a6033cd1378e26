/** How many connections one address may hold. */
import { connect, type Socket } from 'node:net'
import { generate } from 'mqtt-packet'
import { expect, test } from 'vitest'
import {
  AddressLimits, MAX_PER_ADDRESS, MAX_UNFINISHED_PER_ADDRESS, type Admission
} from '../../../broker/limits/address.ts'
import { connectPacket, startTestBroker, type RawClient, type TestBroker } from '../../support/broker.ts'
import { until } from '../../support/until.ts'
import { upgradeRequest } from '../transport/upgrade-request.ts'

function admitMany (limits: AddressLimits, address: string, n: number): Admission[] {
  return Array.from({ length: n }, () => {
    const admission = limits.admit(address)!
    admission.finished()
    return admission
  })
}

test('an address has at most 1,000 connections, and those that left make room', () => {
  const limits = new AddressLimits()
  const admitted = admitMany(limits, '198.51.100.7', MAX_PER_ADDRESS)
  expect(limits.admit('198.51.100.7')).toBeUndefined()
  expect(limits.admit('198.51.100.8')).toBeDefined()
  admitted[0]!.left()
  admitted[0]!.left()
  expect(limits.admit('198.51.100.7')).toBeDefined()
  expect(limits.admit('198.51.100.7')).toBeUndefined()
})

test('at most 100 of them owe their CONNECT', () => {
  const limits = new AddressLimits()
  const waiting = Array.from({ length: MAX_UNFINISHED_PER_ADDRESS }, () => limits.admit('198.51.100.7')!)
  expect(limits.admit('198.51.100.7')).toBeUndefined()
  waiting[0]!.finished()
  waiting[0]!.finished()
  waiting[0]!.left()
  waiting[1]!.left()
  expect([limits.admit('198.51.100.7'), limits.admit('198.51.100.7')]).not.toContain(undefined)
  expect(limits.admit('198.51.100.7')).toBeUndefined()
})

test('an IPv6 network of 64 bits is one address, and so is a mapped IPv4', () => {
  const limits = new AddressLimits()
  admitMany(limits, '2001:db8:0:1::7', MAX_PER_ADDRESS)
  for (const same of [
    '2001:db8:0:1::8', '2001:db8:0:1:ffff:ffff:ffff:ffff', '2001:0DB8:0000:0001:0:0:0:7', '2001:db8:0:1::'
  ]) expect([same, limits.admit(same)]).toEqual([same, undefined])
  for (const other of ['2001:db8:0:2::7', '2001:db8::1', '2001:db8:1::7', '::7']) {
    expect([other, limits.admit(other) === undefined]).toEqual([other, false])
  }
  admitMany(limits, '::ffff:198.51.100.7', MAX_PER_ADDRESS)
  expect(limits.admit('198.51.100.7')).toBeUndefined()
})

test('loopback has no limit', () => {
  const limits = new AddressLimits()
  for (const address of ['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1']) {
    for (let i = 0; i <= MAX_PER_ADDRESS; i++) expect(limits.admit(address)).toBeDefined()
  }
  expect(limits.size).toBe(0)
})

test('addresses that left are forgotten', () => {
  const limits = new AddressLimits()
  for (const admission of admitMany(limits, '198.51.100.7', 3)) admission.left()
  expect(limits.size).toBe(0)
})

const from = (broker: TestBroker, address: string): RawClient => {
  const raw = broker.raw()
  raw.bytes(Buffer.from(`PROXY TCP4 ${address} 10.0.0.1 12345 1883\r\n`))
  return raw
}

test('connections that send no CONNECT keep out others of their address only', async () => {
  await using broker = await startTestBroker({ broker: { proxyProtocol: true } })
  const silent = Array.from({ length: MAX_UNFINISHED_PER_ADDRESS }, () => from(broker, '198.51.100.7'))
  await until(() => broker.counts().connections === silent.length, 'all are there')
  const refused = from(broker, '198.51.100.7')
  await until(() => refused.closed, 'one more is closed')
  const elsewhere = from(broker, '198.51.100.8')
  elsewhere.packet(connectPacket({ password: await broker.token('ann') }))
  expect((await elsewhere.nth('connack', 1)).returnCode).toBe(0)

  // One that completes its CONNECT makes room for one that has not begun.
  silent[0]!.packet(connectPacket({ password: await broker.token('bob') }))
  expect((await silent[0]!.nth('connack', 1)).returnCode).toBe(0)
  const next = from(broker, '198.51.100.7')
  next.packet(connectPacket({ password: await broker.token('carl') }))
  expect((await next.nth('connack', 1)).returnCode).toBe(0)
  for (const raw of [...silent, elsewhere, next]) raw[Symbol.dispose]()
  await until(() => broker.counts().addresses === 0, 'all addresses are forgotten')
})

test('an address that holds 1,000 devices gets no further one', async () => {
  await using broker = await startTestBroker({ broker: { proxyProtocol: true } })
  const devices: RawClient[] = []
  for (let i = 0; i < MAX_PER_ADDRESS; i += 50) {
    const batch = Array.from({ length: 50 }, () => from(broker, '198.51.100.7'))
    await Promise.all(batch.map(async (raw, j) => {
      raw.bytes(generate(connectPacket({ password: await broker.token(`user ${i + j}`.replace(' ', '-')) })))
      expect((await raw.nth('connack', 1)).returnCode).toBe(0)
    }))
    devices.push(...batch)
  }
  const refused = from(broker, '198.51.100.7')
  await until(() => refused.closed, 'one more is closed')
  expect(devices.filter(device => device.closed)).toEqual([])
  devices[0]![Symbol.dispose]()
  const next = await until(async () => {
    const raw = from(broker, '198.51.100.7')
    raw.packet(connectPacket({ password: await broker.token('next') }))
    return await until(() => raw.closed || raw.of('connack').length > 0, 'it is decided') && !raw.closed
  }, 'there is room again')
  expect(next).toBe(true)
})

test('with TRUST_PROXY the last address of X-Forwarded-For counts', async () => {
  await using broker = await startTestBroker({ broker: { trustProxy: true } })
  const sockets: Socket[] = []
  const upgrade = (forwardedFor: string): { closed: boolean, answer: string } => {
    const state = { closed: false, answer: '' }
    const socket = connect({ host: '127.0.0.1', port: broker.wsPort })
    socket.on('error', () => {}).on('close', () => { state.closed = true })
      .on('data', data => { state.answer += data })
    socket.write(upgradeRequest('/mqtt', `x-forwarded-for: ${forwardedFor}`, 'sec-websocket-protocol: mqtt'))
    sockets.push(socket)
    return state
  }
  const admitted =
    Array.from({ length: MAX_UNFINISHED_PER_ADDRESS }, (_, i) => upgrade(`203.0.113.${i}, 198.51.100.7`))
  await until(() => admitted.every(({ answer }) => answer.includes('101')), 'all are upgraded')
  const refused = upgrade('203.0.113.200, 198.51.100.7')
  await until(() => refused.closed, 'one more is closed')
  expect(refused.answer).toBe('')
  const other = upgrade('198.51.100.7, 203.0.113.200')
  await until(() => other.answer.includes('101'), 'another address is served')
  for (const socket of sockets) socket.destroy()
})
