/** A device that is turned away at a door is named in the log. */
import { expect, test } from 'vitest'
import WebSocket from 'ws'
import { startTestBroker, type TestBroker } from '../support/broker.ts'
import { until } from '../support/until.ts'

const refusals = (broker: TestBroker): any[] =>
  broker.logged.filter(({ msg }) => msg === 'a connection was refused')

test('a refused CONNECT is logged with address, client id and user, and without its token', async () => {
  await using broker = await startTestBroker({ logLevel: 'info' })
  const token = await broker.token('ann', { expires: Math.floor(Date.now() / 1_000) - 60 })
  expect(await broker.connack({ clientId: 'anns-phone', username: 'ann', password: token })).toBe(4)
  expect(await broker.connack({
    clientId: 'bobs-phone', username: 'bob', password: await broker.token('ann')
  })).toBe(4)
  expect(refusals(broker)).toMatchObject([
    { door: 'mqtt', client_id: 'anns-phone', user_id: 'ann', code: 4, reason: 'the token has expired' },
    { door: 'mqtt', client_id: 'bobs-phone', user_id: 'bob', code: 4 }
  ])
  for (const { address } of refusals(broker)) expect(address).toMatch(/127\.0\.0\.1/)
  expect(JSON.stringify(broker.logged)).not.toContain(token)
})

test('a client of another version of MQTT is named', async () => {
  await using broker = await startTestBroker({ logLevel: 'info' })
  const connect = { clientId: 'new', protocolVersion: 5, password: await broker.token('ann') } as const
  expect(await broker.connack(connect)).toBe(1)
  expect(refusals(broker)).toMatchObject([{ client_id: 'new', code: 1, reason: /version 5/ }].map(
    ({ reason, ...line }) => ({ ...line, reason: expect.stringMatching(reason) })))
})

test('a JSON WebSocket that is refused is logged, on the upgrade and after it', async () => {
  await using broker = await startTestBroker({ logLevel: 'info' })
  const url = `ws://127.0.0.1:${broker.wsPort}/ws`
  const early = new WebSocket(url, { headers: { authorization: 'Bearer no', 'x-device-id': 'tab' } })
  early.on('error', () => {})
  await until(() => refusals(broker).length === 1, 'the upgrade is refused')
  const late = new WebSocket(url)
  late.on('open', () => late.send(JSON.stringify({ type: 'auth', token: 'no' })))
  await until(() => refusals(broker).length === 2, 'the first frame is refused')
  expect(refusals(broker)).toMatchObject([
    { door: 'websocket', client_id: 'tab', code: 4401 }, { door: 'websocket', code: 4401 }
  ])
})
