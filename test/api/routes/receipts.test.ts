import { sql } from 'drizzle-orm'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { MAX_PARTICIPANTS_WITH_RECEIPT_EVENTS } from '../../../store/log/receipts.ts'
import { type Caller, inboxEnd, send, startTestApi, type TestApi } from '../api.ts'

let api: TestApi
let alice: Caller
let bob: Caller

beforeAll(async () => {
  api = await startTestApi()
  alice = await api.user('alice')
  bob = await api.user('bob')
})
afterAll(() => api[Symbol.asyncDispose]())

interface Receipt { status: string, delivered_at: string | null, read_at: string | null }

const bobsReceipt = async (messageId: string): Promise<Receipt> => {
  const { body: { recipients } } = await alice.get(`/messages/${messageId}/status`)
  const { user_id, ...receipt } =
    recipients.find((recipient: { user_id: string }) => recipient.user_id === bob.id)
  return receipt
}

async function timesKept (id: string): Promise<number> {
  const { rows } = await api.messaging.database.autocommit.orm.execute(
    sql`select count(*)::int as count from delivery_status where conversation_id = ${id}`)
  return rows[0]!.count as number
}

/** Bob has and reads a message of alice's in a group of so many; what alice's devices are told of it. */
async function receiptsIn (participants: number): Promise<{
  id: string, messageId: string, others: string[], events: string[], receipt: Receipt
}> {
  const others = Array.from({ length: participants - 2 }, (_, i) => `member-${i}`)
  const { body: { id } } =
    await alice.post('/conversations', { type: 'group', participant_ids: [bob.id, ...others] })
  const { body: message } = await send(alice, id, 'hello')
  const after = await inboxEnd(alice)
  await bob.post('/inbox/ack', { seq: await inboxEnd(bob) }, { 'x-device-id': 'phone' })
  await bob.post(`/messages/${message.id}/read`)
  const { body: { events } } = await alice.get(`/inbox?after=${after}`)
  return {
    id,
    messageId: message.id,
    others,
    events: events.map((event: { type: string }) => event.type),
    receipt: await bobsReceipt(message.id)
  }
}

test('among 32 participants receipts are events for the sender, and it is kept when', async () => {
  const { id, events, receipt } = await receiptsIn(MAX_PARTICIPANTS_WITH_RECEIPT_EVENTS)
  expect(events).toEqual(['message_delivered', 'message_read'])
  expect(receipt).toEqual({
    status: 'read', delivered_at: expect.any(String), read_at: expect.any(String)
  })
  expect(await timesKept(id)).toBe(2)
})

test('among 33 participants marks rise, and nothing else is kept', async () => {
  const { id, events, receipt } = await receiptsIn(MAX_PARTICIPANTS_WITH_RECEIPT_EVENTS + 1)
  expect(events).toEqual([])
  expect(receipt).toEqual({ status: 'read', delivered_at: null, read_at: null })
  expect(await timesKept(id)).toBe(0)
})

test('when 33 become 32, times are kept again, and are not taken for those of earlier messages', async () => {
  const { id, messageId, others } = await receiptsIn(MAX_PARTICIPANTS_WITH_RECEIPT_EVENTS + 1)
  await alice.delete(`/conversations/${id}/participants/${others[0]}`)
  const { body: later } = await send(alice, id, 'later')
  await bob.post(`/messages/${later.id}/read`)
  expect(await bobsReceipt(messageId)).toEqual({ status: 'read', delivered_at: null, read_at: null })
  expect(await bobsReceipt(later.id)).toMatchObject({ status: 'read', read_at: expect.any(String) })
})

test('a replay says when receipts rose, those of earlier versions too', async () => {
  const { body: { id } } =
    await alice.post('/conversations', { type: 'group', participant_ids: [bob.id, 'carol'] })
  const { body: message } = await send(alice, id, 'when?')
  const after = await inboxEnd(alice)
  await bob.post('/inbox/ack', { seq: await inboxEnd(bob) }, { 'x-device-id': 'phone' })
  await bob.post(`/messages/${message.id}/read`)
  const replay = async (): Promise<object[]> => (await alice.get(`/inbox?after=${after}`)).body.events
  const { delivered_at, read_at } = await bobsReceipt(message.id)
  expect(await replay()).toMatchObject([
    { type: 'message_delivered', user_id: bob.id, delivered_at },
    { type: 'message_read', reader_id: bob.id, read_at }
  ])

  const before = '2026-01-02T03:04:05.678Z'
  await api.messaging.database.autocommit.orm.execute(sql`
    update inbox_events set data = data || ${JSON.stringify({ delivered_at: before })}::jsonb
     where user_id = ${alice.id} and seq = ${after + 1}`)
  expect((await replay())[0]).toMatchObject({ delivered_at: before })
})
