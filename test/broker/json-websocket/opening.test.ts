/** Who may open a JSON WebSocket, how a token is shown, and how what is refused ends. */
import { connect } from 'node:net'
import { expect, test } from 'vitest'
import { startTestBroker } from '../../support/broker.ts'
import { connectJson } from '../../support/json-device.ts'
import { until } from '../../support/until.ts'
import { upgradeRequest } from '../transport/upgrade-request.ts'

test('a token on the upgrade or in the first frame opens the inbox; before it nothing comes', async () => {
  await using broker = await startTestBroker()
  const conversation = await broker.direct('ann', 'bob')
  const early = await broker.json('bob')
  await using late = await connectJson(broker.wsPort)
  const first = await broker.say('ann', conversation, 'one')
  await until(() => early.of('new_message').length === 1, 'the first one has it')
  expect(late.frames).toEqual([])
  late.send({ type: 'auth', token: await broker.token('bob'), request_id: 'a' })
  late.send({ type: 'typing', conversation_id: conversation, is_typing: true, request_id: 't' })
  await until(() => late.replies.length === 2, 'both are answered')
  expect(late.replies.map(reply => [reply.type, reply.request_id])).toEqual([
    ['accepted', 'a'], ['accepted', 't']
  ])
  await until(() => late.of('new_message').length === 1, 'what nobody has acknowledged comes')
  expect(late.of('new_message')[0]).toMatchObject({
    message: {
      id: first.id, conversation_id: conversation, sender_user_id: 'ann', content: 'one', status: 'sent'
    }
  })
})

test('a token that does not hold is 401 on the upgrade and 4401 in a frame', async () => {
  await using broker = await startTestBroker()
  const bad = await broker.token('bob', { expires: Math.floor(Date.now() / 1000) - 10 })
  await expect(connectJson(broker.wsPort, { token: bad })).rejects.toThrow('refused with 401')
  await expect(connectJson(broker.wsPort, { headers: { authorization: 'Basic eDp5' } })).rejects.toThrow(
    'refused with 401'
  )
  await using device = await connectJson(broker.wsPort)
  device.send({ type: 'auth', token: bad })
  expect(await device.ended()).toEqual({ code: 4401, reason: 'the token has expired' })
  await until(() => broker.jsonCounts().connections === 0, 'nothing is left')
})

test.each([
  ['another command', JSON.stringify({ type: 'ack', seq: 1 }), 4401],
  ['no JSON', 'hello', 4401],
  ['bytes', Buffer.from('{}'), 1003]
])('a first frame that is %s ends the connection', async (_, frame, code) => {
  await using broker = await startTestBroker()
  await using device = await connectJson(broker.wsPort)
  device.send(frame)
  expect((await device.ended()).code).toBe(code)
})

test('who shows no token in time is closed with 4408, a half-written upgrade without an answer', async () => {
  await using broker = await startTestBroker({ broker: { connectTimeoutMs: 200 } })
  await using silent = await connectJson(broker.wsPort)
  const half = connect(broker.wsPort, '127.0.0.1', () => half.write(upgradeRequest('/ws').slice(0, -20)))
  let halfClosed = false
  half.on('error', () => {}).on('close', () => { halfClosed = true })
  expect((await silent.ended()).code).toBe(4408)
  await until(() => halfClosed, 'the half-written one is closed')
})

test('with the database away the upgrade is 503, and a frame with a token 1013', async () => {
  await using broker = await startTestBroker()
  const token = await broker.token('bob')
  await using waiting = await connectJson(broker.wsPort)
  const restore = await broker.cutDatabase()
  await expect(connectJson(broker.wsPort, { token })).rejects.toThrow('refused with 503')
  waiting.send({ type: 'auth', token })
  expect((await waiting.ended()).code).toBe(1013)
  await restore()
  const again = await until(() => broker.json('bob').catch(() => undefined), 'it comes in again')
  expect(again.closed).toBeUndefined()
})

test('pages of the same host name and clients without Origin may connect, others not', async () => {
  await using broker = await startTestBroker()
  const from = (origin: string) => broker.json('bob', { headers: { origin } })
  await expect(from('https://evil.example')).rejects.toThrow('refused with 403')
  await expect(from('null')).rejects.toThrow('refused with 403')
  expect((await from('http://127.0.0.1:3000')).closed).toBeUndefined()
  expect((await broker.device('bob', { over: 'ws' })).client.connected).toBe(true)
})

test('WS_ALLOWED_ORIGINS is the list of pages that may connect, for MQTT too', async () => {
  await using broker = await startTestBroker({ broker: { wsAllowedOrigins: ['https://app.example'] } })
  const from = (origin: string) => broker.json('bob', { headers: { origin } })
  expect((await from('https://app.example')).closed).toBeUndefined()
  await expect(from('http://127.0.0.1')).rejects.toThrow('refused with 403')
  const answer = await new Promise<string>(resolve => {
    const socket = connect(broker.wsPort, '127.0.0.1', () =>
      socket.write(upgradeRequest('/mqtt', 'origin: http://127.0.0.1')))
    socket.once('data', data => resolve(data.toString()))
  })
  expect(answer).toMatch(/^HTTP\/1.1 403 /)
})

test('a device id is a header or, for browsers, a parameter, and has at most 128 characters', async () => {
  await using broker = await startTestBroker()
  await broker.json('bob', { query: '?device_id=b%C3%B6b' })
  await broker.json('bob', { deviceId: 'phone' })
  await broker.json('bob')
  expect(Array.from(broker.messaging.connections.all(), connection => connection.state())).toMatchObject([
    { door: 'websocket', device_id: 'böb', clean_session: false, delivery: 'tracked', address: '127.0.0.1' },
    { device_id: 'phone', clean_session: false },
    { device_id: expect.stringMatching(/^anonymous-/), clean_session: true }
  ])
  await expect(broker.json('bob', { deviceId: 'x'.repeat(129) })).rejects.toThrow('refused with 400')
})
