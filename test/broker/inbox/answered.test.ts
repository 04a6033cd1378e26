/** A device that sends by request has the message in the answer: its connection is not sent the event. */
import { expect, test } from 'vitest'
import { WINDOW } from '../../../messaging/deliver/pump.ts'
import { pubackPacket, startTestBroker, subscribePacket, type TestBroker } from '../../support/broker.ts'
import { until } from '../../support/until.ts'

const INBOX = 'user/ann/inbox'
const seqs = (events: Array<{ seq: number }>): number[] => events.map(event => event.seq)

async function send (broker: TestBroker, conversation_id: string, deviceId?: string): Promise<void> {
  await broker.messaging.sends.send({
    senderId: 'ann', deviceId, draft: { conversation_id, content: 'hello', message_type: 'text' }
  })
}

const cursor = async (broker: TestBroker, deviceId: string): Promise<number | undefined> =>
  (await broker.sql(
    'select acked_seq::int from devices where user_id = $1 and device_id = $2', 'ann', deviceId
  ))[0]?.acked_seq

test('its cursor passes the event, and other devices of the user get it', async () => {
  await using broker = await startTestBroker()
  const phone = await broker.device('ann', { deviceId: 'phone', subscribe: [INBOX] })
  const tablet = await broker.device('ann', { deviceId: 'tablet', subscribe: [INBOX] })
  const copy = await broker.device('ann', { deviceId: 'copy', clean: true })
  await copy.subscribe(INBOX, 0)
  const conversation = await broker.direct('ann', 'bob')
  await send(broker, conversation, 'phone')
  await send(broker, conversation, 'copy')
  await broker.say('bob', conversation, 'hi')
  for (const [device, expected] of [[phone, [1, 3, 4]], [tablet, [1, 2, 3, 4]], [copy, [1, 2, 4]]] as const) {
    await until(() => device.events.length === expected.length, 'its events came')
    expect(seqs(device.events)).toEqual(expected)
  }
  await until(async () => await cursor(broker, 'phone') === 4, 'the cursor moved')
  await send(broker, conversation, 'phone')
  await until(async () => await cursor(broker, 'phone') === 5, 'the cursor passes what was not sent')
})

test('what is in flight before it still has to be acknowledged', async () => {
  await using broker = await startTestBroker()
  const raw = await broker.rawDevice('ann', { clientId: 'phone', clean: false })
  raw.packet(subscribePacket(1, INBOX))
  await raw.nth('suback', 1)
  const conversation = await broker.direct('ann', 'bob')
  const first = await raw.nth('publish', 1)
  await send(broker, conversation, 'phone')
  await broker.say('bob', conversation, 'hi')
  const second = await raw.nth('publish', 2)
  expect(JSON.parse(second.payload.toString())).toMatchObject({ seq: 3, type: 'new_message' })
  raw.packet(pubackPacket(second.messageId!))
  raw.packet({ cmd: 'pingreq' })
  await raw.nth('pingresp', 1)
  const pump = [...broker.messaging.trackedSessions.of('ann')][0]!.pump
  expect(pump.ackedSeq).toBe(0)
  raw.packet(pubackPacket(first.messageId!))
  await until(() => pump.ackedSeq === 3, 'all of it is acknowledged')
})

test('behind a full window, and after an absence, the event comes like any other', async () => {
  await using broker = await startTestBroker()
  const raw = await broker.rawDevice('ann', { clientId: 'phone', clean: false })
  raw.packet(subscribePacket(1, INBOX))
  await raw.nth('suback', 1)
  const conversation = await broker.direct('ann', 'bob')
  await Promise.all(Array.from({ length: WINDOW }, async () => await broker.say('bob', conversation, 'hi')))
  await raw.nth('publish', WINDOW)
  await send(broker, conversation, 'phone') // one beyond the window
  for (const packet of raw.of('publish')) raw.packet(pubackPacket(packet.messageId!))
  await raw.nth('publish', WINDOW + 2)
  expect(raw.of('publish').map(packet => JSON.parse(packet.payload.toString()).seq))
    .toEqual(Array.from({ length: WINDOW + 2 }, (_, i) => i + 1))
  for (const packet of raw.of('publish').slice(WINDOW)) raw.packet(pubackPacket(packet.messageId!))
  await until(async () => await cursor(broker, 'phone') === WINDOW + 2, 'all is acknowledged')
  raw.end()
  await until(() => broker.counts().connections === 0, 'it has gone')
  await send(broker, conversation, 'phone')
  const again = await broker.device('ann', { deviceId: 'phone' })
  await until(() => again.events.length === 1, 'it comes')
  expect(again.events[0]).toMatchObject({ seq: WINDOW + 3, type: 'message_sent' })
})
