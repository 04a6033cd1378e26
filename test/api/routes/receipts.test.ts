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

/** Bob has and reads a message of alice's in a group of so many; what alice's devices are told of it. */
async function receiptsIn (participants: number): Promise<{ events: string[], status: string }> {
  const others = Array.from({ length: participants - 2 }, (_, i) => `member-${i}`)
  const { body: { id } } =
    await alice.post('/conversations', { type: 'group', participant_ids: [bob.id, ...others] })
  const { body: message } = await send(alice, id, 'hello')
  const after = await inboxEnd(alice)
  await bob.post('/inbox/ack', { seq: await inboxEnd(bob) }, { 'x-device-id': 'phone' })
  await bob.post(`/messages/${message.id}/read`)
  const { body: { events } } = await alice.get(`/inbox?after=${after}`)
  const { body: { recipients } } = await alice.get(`/messages/${message.id}/status`)
  return {
    events: events.map((event: { type: string }) => event.type),
    status: recipients.find((recipient: { user_id: string }) => recipient.user_id === bob.id).status
  }
}

test('among 32 participants receipts are events for the sender', async () => {
  expect(await receiptsIn(MAX_PARTICIPANTS_WITH_RECEIPT_EVENTS)).toEqual({
    events: ['message_delivered', 'message_read'], status: 'read'
  })
})

test('among 33 participants receipts are recorded and raise no events', async () => {
  expect(await receiptsIn(MAX_PARTICIPANTS_WITH_RECEIPT_EVENTS + 1)).toEqual({ events: [], status: 'read' })
})
