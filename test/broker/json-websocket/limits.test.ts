/** Rude clients: each ends with a defined answer or code, costs bounded memory, and no other notices. */
import { type Socket } from 'node:net'
import { expect, test } from 'vitest'
import { WINDOW } from '../../../messaging/deliver/pump.ts'
import { MAX_DEVICES } from '../../../broker/inbox/registry.ts'
import { startTestBroker } from '../../support/broker.ts'
import { connectJson } from '../../support/json-device.ts'
import { until } from '../../support/until.ts'

const NOBODY = '018f0000-0000-7000-8000-000000000000'
const typing = (request_id: string) =>
  ({ type: 'typing', conversation_id: NOBODY, is_typing: true, request_id })

test('frames that are no command are rejected in order, and the connection goes on', async () => {
  await using broker = await startTestBroker()
  const bob = await broker.json('bob')
  bob.send('not JSON')
  bob.send('[1]')
  bob.send({ type: 'dance', request_id: 'd' })
  bob.send({ type: 'ack', seq: -1, request_id: 'n' })
  bob.send({ type: 'auth', token: await broker.token('ann'), request_id: 'other' })
  bob.send(typing('t'))
  await until(() => bob.replies.length === 6, 'all are answered')
  expect(bob.replies.map(({ type, error, request_id }) => [type, error.code, request_id])).toEqual([
    ['rejected', 'malformed_json', undefined], ['rejected', 'unknown_command', undefined],
    ['rejected', 'unknown_command', 'd'], ['rejected', 'invalid_request', 'n'],
    ['rejected', 'other_user', 'other'], ['rejected', 'conversation_not_found', 't']
  ])
  expect(bob.closed).toBeUndefined()
})

test('a binary frame ends the connection with 1003, one over 512 KB with 1009, others do not notice', async () => {
  await using broker = await startTestBroker()
  const [binary, large, fits] = [await broker.json('bob'), await broker.json('bob'), await broker.json('bob')]
  binary.send(Buffer.from('{}'))
  large.send('x'.repeat(513 * 1024))
  fits.send('x'.repeat(512 * 1024))
  expect((await binary.ended()).code).toBe(1003)
  expect((await large.ended()).code).toBe(1009)
  await until(() => fits.replies.length === 1, 'it is answered')
  expect(fits.replies[0].error.code).toBe('malformed_json')
  await until(() => broker.jsonCounts().devices === 1, 'both are gone')
})

test('commands beyond the rate wait, and keep their order', async () => {
  await using broker = await startTestBroker({ broker: { rateLimitSends: 100 } })
  const bob = await broker.json('bob')
  const started = performance.now()
  for (let i = 0; i < 400; i++) bob.send(typing(String(i)))
  await until(() => bob.replies.length === 400, 'all are answered')
  expect(bob.replies.map(reply => Number(reply.request_id))).toEqual(Array.from({ length: 400 }, (_, i) => i))
  expect(performance.now() - started).toBeGreaterThan(900) // 100 beyond the burst of 300
})

test('a flood that comes together with the token is not read beyond its rate either', async () => {
  await using broker = await startTestBroker({ broker: { rateLimitSends: 10 } })
  await using bob = await connectJson(broker.wsPort)
  const { _socket: socket } = bob.ws as unknown as { _socket: Socket }
  socket.cork()
  bob.send({ type: 'auth', token: await broker.token('bob') })
  for (let i = 0; i < 150; i++) bob.send('{}')
  socket.uncork() // one chunk
  for (let i = 0; i < 500; i++) bob.send('x'.repeat(64 * 1024))
  await until(() => bob.replies.length >= 40, 'more than the burst is answered')
  expect(bob.ws.bufferedAmount).toBeGreaterThan(16 * 1024 * 1024)
})

test('acknowledging costs nothing of the rate', async () => {
  await using broker = await startTestBroker({ broker: { rateLimitSends: 1 } })
  const conversation = await broker.direct('ann', 'bob')
  const bob = await broker.json('bob', { deviceId: 'phone' })
  bob.ws.on('message', data => {
    const { seq } = JSON.parse(data.toString())
    if (seq !== undefined) bob.send({ type: 'ack', seq })
  })
  await Promise.all(Array.from({ length: 3 * WINDOW }, () => broker.say('ann', conversation, 'hello')))
  await until(() => bob.events.length === 3 * WINDOW + 1, 'all came')
})

test('a flood of commands is not read beyond its rate, and nobody else notices', async () => {
  await using broker = await startTestBroker({ broker: { rateLimitSends: 1 } })
  const bob = await broker.json('bob')
  const ann = await broker.json('ann')
  for (let i = 0; i < 500; i++) bob.send('x'.repeat(64 * 1024))
  await until(() => bob.replies.length === 3, 'the burst is answered')
  ann.send(typing('t'))
  await until(() => ann.replies.length === 1, 'nobody else notices')
  expect(bob.ws.bufferedAmount).toBeGreaterThan(16 * 1024 * 1024)
})

test('a flood of pings ends the connection with 4429; a few are answered', async () => {
  await using broker = await startTestBroker()
  const [polite, rude] = [await broker.json('bob'), await broker.json('ann')]
  let pongs = 0
  polite.ws.on('pong', () => pongs++)
  for (let i = 0; i < 5; i++) polite.ws.ping('hello')
  await until(() => pongs === 5, 'they are answered')
  for (let i = 0; i < 5_000; i++) rude.ws.ping()
  expect((await rude.ended()).code).toBe(4429)
})

test('a peer that sends nothing is ended with 4408, one that answers pings stays', async () => {
  await using broker = await startTestBroker({ broker: { wsTimes: { pingEveryMs: 100, silenceMs: 1_000 } } })
  const alive = await broker.json('bob')
  const dead = await broker.json('ann', { options: { autoPong: false } })
  expect((await dead.ended()).code).toBe(4408)
  expect([alive.closed, alive.pings.length > 1]).toEqual([undefined, true])
})

test('a user has 20 devices, whatever their door', async () => {
  await using broker = await startTestBroker()
  const mqtt = await broker.device('bob')
  const first = await broker.json('bob')
  for (let i = 2; i < MAX_DEVICES; i++) await broker.json('bob')
  mqtt.client.publish('user/bob/outbox', '{}', { qos: 1 })
  await broker.json('bob')
  expect((await first.ended()).code).toBe(4429)
  expect(mqtt.client.connected).toBe(true)
})

test('an administrator ends it with 1008, the end of the server with 1001', async () => {
  await using broker = await startTestBroker()
  await broker.direct('ann', 'bob')
  const [ended, last] = await Promise.all(['ann', 'bob'].map(userId => broker.json(userId)))
  await broker.messaging.userConnections.disconnect('root', 'ann', undefined)
  expect((await ended!.ended()).code).toBe(1008)
  await broker.stop()
  expect((await last!.ended()).code).toBe(1001)
})

test('a command that cannot be decided ends the connection with 1013 and no answer', async () => {
  await using broker = await startTestBroker()
  const conversation = await broker.direct('ann', 'bob')
  const bob = await broker.json('bob')
  const restore = await broker.cutDatabase()
  const send = (client_message_id: string, conversation_id = conversation) =>
    ({ type: 'send_message', conversation_id, content: 'x', message_type: 'text', client_message_id })
  bob.send(send('one'))
  bob.send({ type: 'dance' })
  expect((await bob.ended()).code).toBe(1013)
  expect(bob.replies).toEqual([])
  await restore()
  const again = await until(() => broker.json('bob').catch(() => undefined), 'it comes in again')
  again.send(send('one'))
  await until(() => again.replies.length === 1, 'it is answered')
  expect(again.replies[0]).toMatchObject({
    type: 'accepted', client_message_id: 'one', message: { content: 'x' }
  })
})
