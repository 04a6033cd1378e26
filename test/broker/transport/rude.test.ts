/** Clients that break the rules harm only themselves. */
import { connect } from 'node:net'
import { generate } from 'mqtt-packet'
import { expect, test } from 'vitest'
import { MAX_PACKET_BYTES } from '../../../broker/limits/packet.ts'
import { publishPacket, startTestBroker, subscribePacket } from '../../support/broker.ts'
import { until } from '../../support/until.ts'
import { upgradeRequest } from './upgrade-request.ts'

test('an upgrade to an address that is no URL is refused', async () => {
  await using broker = await startTestBroker()
  for (const path of ['//', '/\\', '*', '/mqtt/', '/ws/', 'http://[/mqtt']) {
    const socket = connect({ host: '127.0.0.1', port: broker.wsPort })
    const answer = new Promise<string>(resolve => {
      let text = ''
      socket.on('data', data => { text += data })
      socket.on('close', () => resolve(text))
      socket.on('error', () => {})
    })
    socket.write(upgradeRequest(path))
    expect(await answer).toMatch(/^HTTP\/1\.1 40[04]/)
  }
  expect((await broker.device('ann', { over: 'ws' })).client.connected).toBe(true)
})

test('what is no MQTT closes its connection', async () => {
  await using broker = await startTestBroker()
  for (const bytes of [
    Buffer.from('GET / HTTP/1.1\r\n\r\n'), Buffer.from([0xFF, 0xFF, 0xFF, 0xFF, 0xFF]), Buffer.from([0xC0, 0])
  ]) {
    const raw = broker.raw()
    raw.bytes(bytes)
    await until(() => raw.closed, 'the connection closes')
  }
  const twice = await broker.rawDevice('ann')
  twice.packet({
    cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true, clientId: 'x', keepalive: 0
  })
  await until(() => twice.closed, 'a second CONNECT closes the connection')
})

test('a packet of more than 256 KB ends its connection at the fixed header', async () => {
  await using broker = await startTestBroker()
  const stranger = broker.raw()
  stranger.bytes(Buffer.from([
    0x10, 0x81, 0x80, 0x10
  ])) // CONNECT of 256 KB and a byte, of which nothing follows
  await until(() => stranger.closed, 'the connection closes')

  const sensor = await broker.device(
    'sensor', { claims: { acl: { pub: ['sensors/#'], sub: ['sensors/#'] } }, subscribe: ['sensors/#'] }
  )
  const overhead = 2 + 'sensors/1'.length + 2
  await sensor.client.publishAsync('sensors/1', Buffer.alloc(MAX_PACKET_BYTES - overhead), { qos: 1 })
  await until(() => sensor.received.length === 1, 'the largest packet there may be is served')
  sensor.client.publish('sensors/1', Buffer.alloc(MAX_PACKET_BYTES - overhead + 1), { qos: 1 })
  await until(() => !sensor.client.connected, 'a larger one closes the connection')
})

test('a client that does not read its replies is not read from either', async () => {
  let decided = 0
  await using broker = await startTestBroker({
    replace: ({ authentication }) => ({
      authentication: {
        authenticate: token => {
          if (token === 'x') decided++
          return authentication.authenticate(token)
        }
      }
    })
  })
  const raw = await broker.rawDevice('ann')
  raw.packet(subscribePacket(1, 'user/ann/replies'))
  await raw.nth('suback', 1)
  raw.freeze()
  const command = generate(publishPacket(
    'user/ann/outbox', JSON.stringify({ type: 'auth', token: 'x', request_id: 'r'.repeat(128) })
  ))
  const n = 100_000
  raw.bytes(Buffer.concat(Array.from({ length: n }, () => command)))

  const other = await broker.device('bob')
  await until(async () => {
    const before = decided
    for (let i = 0; i < 20; i++) await other.subscribe('user/bob/live')
    return before > 0 && before === decided
  }, 'the broker decides no more of them')
  expect(decided).toBeLessThan(n)
})
