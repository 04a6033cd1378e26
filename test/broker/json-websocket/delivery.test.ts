/** What a JSON WebSocket is sent, and how it is acknowledged. */
import { expect, test } from 'vitest'
import { WINDOW } from '../../../messaging/deliver/pump.ts'
import { seqsAfter, startTestBroker, type TestBroker } from '../../support/broker.ts'
import { until } from '../../support/until.ts'

const say = (broker: TestBroker, conversation: string, n: number, from = 'ann'): Promise<unknown> =>
  Promise.all(Array.from({ length: n }, (_, i) => broker.say(from, conversation, `message ${i}`)))

const pumpOf = (broker: TestBroker, userId: string) =>
  [...broker.messaging.trackedSessions.of(userId)][0]!.pump

test('a pong acknowledges what was written before its ping, until the client sends an ack', async () => {
  await using broker = await startTestBroker({ broker: { wsTimes: { pingAfterMs: 50 } } })
  const conversation = await broker.direct('ann', 'bob')
  const bob = await broker.json('bob', { deviceId: 'phone' })
  const message = await broker.say('ann', conversation, 'one')
  await until(async () => await broker.status('ann', message) === 'delivered', 'the pong has delivered it')
  bob.send({ type: 'ack', seq: 1 })
  const second = await broker.say('ann', conversation, 'two')
  await until(() => bob.of('new_message').length === 2, 'it came')
  bob.send({ type: 'typing', conversation_id: conversation, is_typing: true, request_id: 'r' })
  await until(() => bob.replies.length === 1, 'the answer came')
  expect([pumpOf(broker, 'bob').inFlight, await broker.status('ann', second)]).toEqual([1, 'sent'])
  bob.send({ type: 'ack', seq: bob.events.at(-1).seq })
  await until(async () => await broker.status('ann', second) === 'delivered', 'the ack has delivered it')
})

test('a pong that nobody asked for acknowledges nothing', async () => {
  await using broker = await startTestBroker({ broker: { wsTimes: { pingAfterMs: 600_000 } } })
  const conversation = await broker.direct('ann', 'bob')
  const bob = await broker.json('bob')
  await say(broker, conversation, 3)
  await until(() => bob.of('new_message').length === 3, 'all came')
  for (const payload of ['', '4', '3', '999']) bob.ws.pong(payload)
  bob.send({ type: 'typing', conversation_id: conversation, is_typing: true, request_id: 'r' })
  await until(() => bob.replies.length === 1, 'the answer came')
  expect(pumpOf(broker, 'bob').inFlight).toBe(4)
})

test('half a window asks for a pong at once: 10 windows come to a client that only answers pings', async () => {
  await using broker = await startTestBroker({ broker: { wsTimes: { pingAfterMs: 100 } } })
  const conversation = await broker.direct('ann', 'bob')
  await say(broker, conversation, 10 * WINDOW)
  const bob = await broker.json('bob', { deviceId: 'phone' })
  await until(() => bob.events.length === 10 * WINDOW + 1, 'all came')
  expect(bob.events.map(({ seq }) => seq)).toEqual(seqsAfter(0, 10 * WINDOW + 1))
  await until(() => pumpOf(broker, 'bob').inFlight === 0, 'all are acknowledged')
})

test('the sender is not sent its own: seq skips, and a run of them moves the cursor', async () => {
  await using broker = await startTestBroker({ broker: { wsTimes: { pingAfterMs: 600_000 } } })
  const conversation = await broker.direct('ann', 'bob')
  const ann = await broker.json('ann', { deviceId: 'phone' })
  await until(() => ann.events.length === 1, 'the conversation came')
  await say(broker, conversation, 3 * WINDOW)
  ann.send({ type: 'ack', seq: 1 })
  await until(() => pumpOf(broker, 'ann').ackedSeq === 3 * WINDOW + 1, 'the cursor is at the end')
  await broker.say('bob', conversation, 'hello')
  await until(() => ann.events.length === 2, 'the next one came')
  expect(ann.events.map(({ type, seq }) => [type, seq])).toEqual([
    ['conversation_created', 1], ['new_message', 3 * WINDOW + 2]
  ])
})

test('an ack within what was sent is cumulative; beyond the log it is rejected', async () => {
  await using broker = await startTestBroker()
  const conversation = await broker.direct('ann', 'bob')
  const bob = await broker.json('bob', { deviceId: 'phone' })
  await say(broker, conversation, 5)
  await until(() => bob.events.length === 6, 'all came')
  bob.send({ type: 'ack', seq: 4 })
  await until(() => pumpOf(broker, 'bob').ackedSeq === 4, 'four are acknowledged')
  bob.send({ type: 'ack', seq: 7 })
  await until(() => bob.replies.length === 1, 'the answer came')
  expect(bob.replies[0]).toMatchObject({ type: 'rejected', error: { code: 'seq_beyond_end' } })
  bob.send({ type: 'ack', seq: 6, request_id: 'all' })
  await until(() => bob.replies.length === 2, 'the answer came')
  expect(bob.replies[1]).toEqual({ type: 'accepted', request_id: 'all' })
  const cursors = await broker.sql("select acked_seq::int from devices where user_id = 'bob'")
  expect(cursors).toEqual([{ acked_seq: 6 }])
})

test('a device keeps its place from its first connection on, an anonymous one has none', async () => {
  await using broker = await startTestBroker()
  const conversation = await broker.direct('ann', 'bob')
  const tablet = await broker.json('bob', { deviceId: 'tablet' })
  const nameless = await broker.json('bob')
  await until(() => tablet.events.length + nameless.events.length === 2, 'both are there')
  for (const device of [tablet, nameless]) device.ws.terminate()
  await until(() => broker.jsonCounts().devices === 0, 'both have gone')
  const phone = await broker.json('bob', { deviceId: 'phone' })
  await say(broker, conversation, 2)
  await until(() => phone.events.length === 3, 'all came')
  phone.send({ type: 'ack', seq: 3, request_id: 'r' })
  await until(() => phone.replies.length === 1, 'they are acknowledged')
  const again = await broker.json('bob', { deviceId: 'tablet' })
  const other = await broker.json('bob')
  await say(broker, conversation, 1)
  await until(() => again.events.length === 4 && other.events.length === 1, 'all came')
  expect(other.events[0].seq).toBe(4)
})

test('an MQTT session outlasts a JSON connection of its device', async () => {
  await using broker = await startTestBroker()
  const conversation = await broker.direct('ann', 'bob')
  const mqtt = await broker.device('bob', { deviceId: 'phone', subscribe: ['user/bob/inbox'] })
  await say(broker, conversation, 2)
  await until(() => mqtt.events.length === 3, 'all came')
  await until(() => pumpOf(broker, 'bob').inFlight === 0, 'all are acknowledged')
  const json = await broker.json('bob', { deviceId: 'phone' })
  await until(() => !mqtt.client.connected, 'the older one is closed')
  await say(broker, conversation, 1)
  await until(() => json.events.length === 1, 'the next one came')
  expect(json.events[0].seq).toBe(4)
  const back = await broker.device('bob', { deviceId: 'phone', subscribe: ['user/bob/inbox'] })
  expect((await json.ended()).code).toBe(4409)
  expect(back.sessionPresent).toBe(true)
  await until(() => back.events.length === 1, 'what was not acknowledged comes again')
})

test('typing and presence come to a JSON WebSocket, and its user is online', async () => {
  await using broker = await startTestBroker()
  const conversation = await broker.direct('ann', 'bob')
  const ann = await broker.json('ann')
  const bob = await broker.json('bob')
  const sees = ({ user_id, online }: any): boolean => user_id === 'bob' && online
  await until(() => ann.of('presence').some(sees), 'bob is online')
  bob.send({ type: 'typing', conversation_id: conversation, is_typing: true })
  await until(() => ann.of('typing').length === 1, 'ann sees it')
  expect(ann.of('typing')[0]).toMatchObject({
    conversation_id: conversation, user_id: 'bob', is_typing: true
  })
})

test('a client that knows three events and two frames works unchanged', async () => {
  await using broker = await startTestBroker({ broker: { wsTimes: { pingAfterMs: 50 } } })
  const conversation = await broker.direct('ann', 'bob')
  const ann = await broker.json('ann')
  const bob = await broker.json('bob')
  const { id } = await broker.say('ann', conversation, 'hello')
  await until(() => bob.of('new_message').length === 1, 'it came')
  bob.send({ type: 'read_receipt', message_id: id, read_at: '2026-01-02T03:04:05Z' })
  await until(() => ann.of('message_read').length === 1, 'ann hears of it')
  expect(ann.of('message_read')[0]).toMatchObject({
    message_id: id, reader_id: 'bob', read_at: expect.any(String)
  })
  const next = await broker.say('ann', conversation, 'again')
  bob.send({ type: 'read_receipt', message_id: next.id, read_at: Date.now() })
  await until(() => ann.of('message_read').length === 2, 'epoch milliseconds do as well')
  expect(bob.replies).toEqual([])
})
