/** The inbox: what PUBACK does to the cursor, where a session starts, and how much is in flight. */
import { expect, test } from 'vitest'
import { WINDOW } from '../../../messaging/deliver/pump.ts'
import {
  publishPacket, pubackPacket, seqsAfter, startTestBroker, subscribePacket, type Device, type RawClient,
  type TestBroker
} from '../../support/broker.ts'
import { until } from '../../support/until.ts'

const INBOX = 'user/ann/inbox'

async function say (broker: TestBroker, conversation: string, n: number): Promise<void> {
  await Promise.all(Array.from({ length: n }, (_, i) => broker.say('bob', conversation, `${i + 1}`)))
}

const cursor = async (broker: TestBroker, deviceId = 'phone'): Promise<number | undefined> =>
  (await broker.sql(
    'select acked_seq::int from devices where user_id = $1 and device_id = $2', 'ann', deviceId
  ))[0]?.acked_seq

const ackedSeq = async (broker: TestBroker): Promise<number> =>
  (await broker.sql('select acked_seq::int from users where id = $1', 'ann'))[0].acked_seq

const seqs = (events: Array<{ seq: number }>): number[] => events.map(event => event.seq)
const rawSeqs = (raw: RawClient): number[] =>
  raw.of('publish').map(packet => JSON.parse(packet.payload.toString()).seq)

async function subscribedRaw (broker: TestBroker, deviceId = 'raw'): Promise<RawClient> {
  const raw = await broker.rawDevice('ann', { clientId: deviceId, clean: false })
  raw.packet(subscribePacket(1, INBOX))
  await raw.nth('suback', 1)
  return raw
}

/** Round trip: whatever the broker had to say before is here. */
async function ping (raw: RawClient): Promise<void> {
  const n = raw.of('pingresp').length + 1
  raw.packet({ cmd: 'pingreq' })
  await raw.nth('pingresp', n)
}

test('PUBACK moves the cursor, and a restored session gets what follows', async () => {
  await using broker = await startTestBroker()
  const conversation = await broker.direct('bob', 'ann')
  const phone = await broker.device('ann', { subscribe: [INBOX] })
  await say(broker, conversation, 3)
  await until(() => phone.events.length === 4, 'all came')
  await until(async () => await cursor(broker) === 4, 'the cursor moved')
  await phone.leave()
  await say(broker, conversation, 2)
  const again = await broker.device('ann')
  expect(again.sessionPresent).toBe(true)
  await until(() => again.events.length === 2, 'what came meanwhile came')
  await say(broker, conversation, 1)
  await until(() => again.events.length === 3, 'delivery goes on')
  expect(seqs(again.events)).toEqual([5, 6, 7])
  expect(again.received.every(message => message.qos === 1)).toBe(true)
})

test('what was not acknowledged comes again in order', async () => {
  await using broker = await startTestBroker()
  const conversation = await broker.direct('bob', 'ann')
  const raw = await subscribedRaw(broker, 'phone')
  await say(broker, conversation, 4)
  const published = [await raw.nth('publish', 5), ...raw.of('publish')]
  raw.packet(pubackPacket(published[1]!.messageId!))
  raw.packet(pubackPacket(published[2]!.messageId!))
  raw.packet(pubackPacket(published[4]!.messageId!))
  await until(async () => await cursor(broker) === 2, 'the unbroken run is acknowledged')
  raw[Symbol.dispose]()
  const again = await broker.device('ann')
  await until(() => again.events.length === 3, 'the rest came')
  expect(seqs(again.events)).toEqual([3, 4, 5])
})

test('a clean session starts where the user\'s devices are and leaves the stored cursor alone', async () => {
  await using broker = await startTestBroker()
  const conversation = await broker.direct('bob', 'ann')
  const slow = await subscribedRaw(broker, 'slow')
  await say(broker, conversation, 2)
  slow.packet(pubackPacket((await slow.nth('publish', 1)).messageId!))
  await until(async () => await cursor(broker, 'slow') === 1, 'the slow device has one')
  slow[Symbol.dispose]()
  const phone = await broker.device('ann', { subscribe: [INBOX] })
  await until(async () => await cursor(broker) === 3, 'the phone has all')
  await phone.leave()

  await say(broker, conversation, 1)
  const clean = await broker.device('ann', { deviceId: 'slow', clean: true, subscribe: [INBOX] })
  await until(() => clean.events.length === 1, 'what no device has came')
  expect(seqs(clean.events)).toEqual([4])
  await until(async () => await ackedSeq(broker) === 4, 'its acknowledgement counts for the user')
  expect(await cursor(broker, 'slow')).toBe(1)
  await clean.command({ type: 'ack', seq: 4 })
  expect(await cursor(broker, 'slow')).toBe(1)
  await clean.leave()

  const back = await broker.device('ann', { deviceId: 'slow' })
  expect(back.sessionPresent).toBe(false)
  await back.subscribe(INBOX)
  await until(() => back.events.length === 3, 'it goes on after its own cursor')
  expect(seqs(back.events)).toEqual([2, 3, 4])
})

test('a session without a client id leaves no device behind', async () => {
  await using broker = await startTestBroker()
  await broker.direct('bob', 'ann')
  const nameless = await broker.device('ann', { deviceId: '', clean: true, subscribe: [INBOX] })
  await until(() => nameless.events.length === 1, 'the event came')
  await nameless.command({ type: 'ack', seq: 1 })
  await until(async () => await ackedSeq(broker) === 1, 'it is acknowledged')
  expect(await broker.sql('select device_id from devices')).toEqual([])
})

test('a QoS 0 subscription is a live copy: no replay, no delivery, no cursor', async () => {
  await using broker = await startTestBroker()
  const conversation = await broker.direct('bob', 'ann')
  const phone = await broker.device('ann')
  await phone.subscribe(INBOX, 0)
  await until(async () => {
    await broker.say('bob', conversation, 'is it there?')
    return phone.events.length > 0
  }, 'the copies begin')
  const message = await broker.say('bob', conversation, 'live')
  await until(() => phone.events.at(-1).message?.id === message.id, 'it came')
  expect(phone.events[0].type).toBe('new_message')
  expect(phone.received.every(({ qos }) => qos === 0)).toBe(true)
  await phone.leave()
  expect(await broker.status('bob', message)).toBe('sent')
  expect([await ackedSeq(broker), await cursor(broker)]).toEqual([0, 0])
})

test('a client that never acknowledges gets one window and not more', async () => {
  await using broker = await startTestBroker()
  const conversation = await broker.direct('bob', 'ann')
  const raw = await subscribedRaw(broker)
  await say(broker, conversation, 2 * WINDOW)
  await raw.nth('publish', WINDOW)
  broker.messaging.wakes.wake([{ userId: 'ann', seq: 2 * WINDOW + 1 }])
  await ping(raw)
  expect(rawSeqs(raw)).toEqual(seqsAfter(0, WINDOW))
  const other = await subscribedRaw(broker, 'connected later')
  await other.nth('publish', WINDOW)
  await ping(other)
  expect(rawSeqs(other)).toEqual(seqsAfter(0, WINDOW))
})

test('acknowledgements out of order move only the unbroken run', async () => {
  await using broker = await startTestBroker()
  const conversation = await broker.direct('bob', 'ann')
  const raw = await subscribedRaw(broker)
  await say(broker, conversation, 2 * WINDOW)
  await raw.nth('publish', WINDOW)
  const ids = raw.of('publish').map(packet => packet.messageId!)
  for (const id of ids.slice(1).reverse()) raw.packet(pubackPacket(id))
  await ping(raw)
  expect(rawSeqs(raw)).toHaveLength(WINDOW)
  await broker.messaging.acknowledgements.settled('ann')
  expect(await cursor(broker, 'raw')).toBe(0)
  raw.packet(pubackPacket(ids[0]!))
  await raw.nth('publish', 2 * WINDOW)
  expect(rawSeqs(raw)).toEqual(seqsAfter(0, 2 * WINDOW))
  await until(async () => await cursor(broker, 'raw') === WINDOW, 'the cursor is where the run ends')
})

test('acknowledging a reply acknowledges no event', async () => {
  await using broker = await startTestBroker()
  const conversation = await broker.direct('bob', 'ann')
  const raw = await subscribedRaw(broker, 'phone')
  raw.packet(subscribePacket(2, 'user/ann/replies'))
  await raw.nth('suback', 2)
  await say(broker, conversation, 3)
  await raw.nth('publish', 4)
  for (let i = 1; i <= 5; i++) {
    raw.packet(publishPacket(
      'user/ann/outbox', JSON.stringify({ type: 'ack', seq: 0, request_id: `${i}` }), 1, i
    ))
  }
  await raw.nth('publish', 9)
  for (const packet of raw.of('publish').filter(packet => packet.topic.endsWith('replies'))) {
    raw.packet(pubackPacket(packet.messageId!))
  }
  await ping(raw)
  await broker.messaging.acknowledgements.settled('ann')
  expect(await cursor(broker)).toBe(0)
  raw[Symbol.dispose]()
  const again = await broker.device('ann')
  await until(() => again.events.length === 4, 'all events come again')
})

test('unsubscribing ends the delivery until the device subscribes again', async () => {
  await using broker = await startTestBroker()
  const conversation = await broker.direct('bob', 'ann')
  const phone = await broker.device('ann', { subscribe: [INBOX, 'user/ann/live'] })
  await until(() => phone.events.length === 1, 'delivery has begun')
  await phone.client.unsubscribeAsync(INBOX)
  await say(broker, conversation, 2)
  const bob = await broker.device('bob')
  await bob.command({ type: 'typing', conversation_id: conversation, is_typing: true })
  // Presence comes there, too, whenever it is told.
  const typed = (device: Device): unknown => device.on('user/ann/live').find(({ type }) => type === 'typing')
  await until(() => typed(phone), 'what came later on the other topic came')
  expect(phone.events).toHaveLength(1)
  await phone.leave()
  const again = await broker.device('ann')
  expect(again.sessionPresent).toBe(true)
  await bob.command({ type: 'typing', conversation_id: conversation, is_typing: false })
  await until(() => typed(again), 'the restored session has the other topic')
  expect(again.events).toEqual([])
  await again.subscribe(INBOX)
  await until(() => again.events.length === 2, 'the events came')
  expect(seqs(again.events)).toEqual([2, 3])
})

test('QoS 2 is served with QoS 1, and overlapping filters bring each event once', async () => {
  await using broker = await startTestBroker()
  const conversation = await broker.direct('bob', 'ann')
  const phone = await broker.device('ann')
  await phone.subscribe(INBOX, 2)
  await phone.subscribe(['user/ann/#', 'user/ann/+'], 0)
  await say(broker, conversation, 2)
  await until(async () => await cursor(broker) === 3, 'all is acknowledged')
  expect(seqs(phone.events)).toEqual([1, 2, 3])
  expect(phone.received.every(({ qos }) => qos === 1)).toBe(true)
})

test('a command over WebSocket is decided like one over TCP', async () => {
  await using broker = await startTestBroker()
  const conversation = await broker.direct('bob', 'ann')
  const phone = await broker.device('ann', { over: 'ws', subscribe: ['user/ann/replies'] })
  await phone.command({
    type: 'send_message',
    conversation_id: conversation,
    content: 'x'.repeat(9_000),
    message_type: 'text',
    client_message_id: 'c1'
  })
  expect(phone.replies).toMatchObject([{ type: 'accepted', client_message_id: 'c1' }])
})
