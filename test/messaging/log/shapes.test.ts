/**
 * Objects that are made for each message or event have one hidden class each. With one of their own, as
 * `{ ...known, added }` has them in the V8 of Node 20, making them takes a microsecond for each property
 * that is added, and whoever reads them is slow.
 */
import { expect, test } from 'vitest'
import { recallContext } from '../../../messaging/log/context.ts'
import { createContextCache } from '../../../messaging/log/context-cache.ts'
import { createAcknowledgementQueue } from '../../../messaging/receipts/acknowledgements.ts'
import { planSends } from '../../../messaging/send/plan.ts'
import { createSendQueue, enqueue, type Send } from '../../../messaging/send/queue.ts'
import { numberEvents } from '../../../store/log/inbox.ts'
import { haveOneShape, promotedBy } from '../../support/v8.ts'

const COUNT = 200
const CONVERSATION = '01890a5d-ac96-7b3c-8d2e-0123456789ab'

const send = (n: number): Send => ({
  senderId: 'alice',
  draft: {
    conversation_id: CONVERSATION, content: `message ${n}`, message_type: 'text', client_message_id: `${n}`
  }
})

/** The first few are made before V8 has settled. */
function expectOneShape (objects: object[]): void {
  expect(objects.length).toBeGreaterThanOrEqual(COUNT)
  for (let i = COUNT >> 1; i < objects.length; i++) {
    expect(haveOneShape(objects[i]!, objects[i - 1]!), `the object ${i} has a shape of its own`).toBe(true)
  }
}

test('sends that wait', () => {
  const queue = createSendQueue(() => {})
  for (let n = 0; n < COUNT; n++) enqueue(send(n), () => queue).catch(() => {})
  const waiting = queue.take()
  expectOneShape(waiting)
  expectOneShape(waiting.map(({ draft }) => draft))
})

function plan () {
  const member = (user_id: string) => ({
    conversation_id: CONVERSATION,
    user_id,
    can_send_messages: true,
    joined_seq: 0,
    present: true,
    blocks_other: false,
    shown_seq: null,
    last_delivered_seq: 0
  })
  const at = new Date()
  return planSends(Array.from({ length: COUNT }, (_, n) => send(n)), {
    members: new Map([[CONVERSATION, new Map([['alice', member('alice')], ['bob', member('bob')]])]]),
    conversations: new Map([[CONVERSATION, {
      id: CONVERSATION, type: 'direct', title: null, last_seq: 0, last_activity_at: at, members_version: 0
    }]]),
    replyTargets: new Map(),
    attachments: new Map(),
    repeats: [],
    known: new Map(),
    epoch: 'e'
  }, at)
}

test('messages, what readers see of them, and their events', () => {
  const { messages, views, events } = plan()
  expectOneShape(messages)
  expectOneShape(views)
  expectOneShape(events)
  const counters = new Map(['alice', 'bob'].map(id => [id, { id, inbox_seq: 0, acked_seq: 0 }]))
  expectOneShape(numberEvents(events, counters))
})

test('what is made on the way leaves no hidden classes behind', async () => {
  // 12 MB with them, of 4,000 messages.
  expect(await promotedBy(() => { plan() }, 20)).toBeLessThan(1_000_000)
})

test('acknowledgements that wait', () => {
  const queue = createAcknowledgementQueue()
  for (let n = 0; n < COUNT; n++) {
    queue.add({ userId: `user-${n}`, deviceId: 'phone', lease: undefined, seq: n, deliveries: [] })
  }
  expectOneShape(queue.take(true))
})

test('what is known keeps nothing of the batches that asked for it', async () => {
  const known = createContextCache()
  const ask = (n: number): void => {
    const large = { kept: new Array(1_000).fill(n), ...send(n) }
    const batch = { sends: [large], acknowledgements: [], reads: [] }
    const loan = known.lendTo(batch)
    recallContext(batch, loan)
    loan.contestant()
    known.forget(batch)
  }
  // 5.7 MB of 33 when what it is given has a getter.
  expect(await promotedBy(() => { for (let n = 0; n < 200; n++) ask(n) }, 20)).toBeLessThan(3_000_000)
})
