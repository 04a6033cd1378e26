/** What a batch holds up, and what it does not: messages to many members and acknowledgements go beside. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestBroker, type TestBroker } from '../../support/broker.ts'
import { waitsForLock, whileHeld } from '../../support/held-rows.ts'
import { until } from '../../support/until.ts'

const MEMBERS = Array.from({ length: 100 }, (_, i) => `member-${i}`)

let broker: TestBroker
let pair: string
beforeAll(async () => {
  broker = await startTestBroker()
  pair = await broker.direct('carol', 'dave')
})
afterAll(() => broker[Symbol.asyncDispose]())

test('messages to many members keep their order, also of those sent before it was known how many they are', async () => {
  const [admin, ...others] = MEMBERS
  const group = await broker.group(admin!, ...others)
  const sent: Array<Promise<{ seq: number }>> = []
  const beside: Array<Promise<unknown>> = []
  for (let wave = 0; wave < 20; wave++) {
    for (let i = 0; i < 15; i++) {
      sent.push(broker.say(MEMBERS[i % 3]!, group, `${sent.length}`))
    }
    beside.push(broker.say('carol', pair, 'beside'))
    await sent[wave * 7]
  }
  await Promise.all(beside)
  const seqs = (await Promise.all(sent)).map(message => message.seq)
  expect(seqs).toEqual(Array.from({ length: 300 }, (_, i) => i + 1))
  const stored =
    await broker.sql('select content from messages where conversation_id = $1 order by seq', group)
  expect(stored.map(row => Number(row.content))).toEqual(Array.from({ length: 300 }, (_, i) => i))
})

test('a message to many members that waits holds up no other conversation', async () => {
  const [admin, ...others] = MEMBERS
  const group = await broker.group(admin!, ...others)
  await broker.say(admin!, group, 'so many')
  let over = false
  let held: Promise<unknown> | undefined
  await whileHeld(broker, 'member-50', async () => {
    held = broker.say(admin!, group, 'held up').then(() => { over = true })
    await until(() => waitsForLock(broker), 'its batch waits')
    await broker.say('carol', pair, 'beside')
    expect(over).toBe(false)
  })
  await held
})

test('while a batch is written others go on, and its own conversations wait for it', async () => {
  const own = await broker.direct('bob', 'away')
  await broker.say('bob', own, 'makes a push due')
  const due = (): Promise<unknown[]> => broker.sql('select 1 from push_due where user_id = $1', 'away')
  await until(async () => (await due()).length === 1, 'it is due')
  const holder = await broker.connect()
  const order: string[] = []
  try {
    await holder.query('begin')
    await holder.query('select 1 from push_due where user_id = $1 for update', ['away'])
    const sent = ['first', 'second'].map(async text => {
      await broker.say('bob', own, text)
      order.push(text)
    })
    await until(() => waitsForLock(broker), 'the batch waits while it is written')
    const third = broker.say('bob', own, 'third').then(() => { order.push('third') })
    await broker.say('carol', pair, 'beside')
    expect(order).toEqual([])
    await holder.query('rollback')
    await Promise.all([...sent, third])
  } finally {
    holder.release()
  }
  expect(order).toEqual(['first', 'second', 'third'])
})

test('acknowledgements that wait hold up no send', async () => {
  const own = await broker.direct('ann', 'bob')
  const phone = await broker.device('ann', { subscribe: ['user/ann/inbox'] })
  const before = phone.events.length
  await broker.say('bob', own, 'hello')
  const message = await broker.say('bob', own, 'hello again')
  await whileHeld(broker, 'ann', async () => {
    await until(() => phone.events.length >= before + 2, 'it has the messages')
    await until(() => waitsForLock(broker), 'its acknowledgement waits')
    await broker.say('carol', pair, 'beside')
  })
  await until(async () => await broker.status('bob', message) === 'delivered', 'it is written afterwards')
})

test('a read whose conversation becomes small meanwhile is told to its senders', async () => {
  const members = Array.from({ length: 33 }, (_, i) => `reader-${i}`)
  const group = await broker.group(members[0]!, ...members.slice(1))
  const message = await broker.say(members[0]!, group, 'read this')
  const reader = members[1]!
  const holder = await broker.connect()
  try {
    await holder.query('begin')
    await holder.query('select 1 from users where id = $1 for update', [reader])
    const reading = broker.messaging.readReceipts.read({ readerId: reader, messageId: message.id })
    await until(() => waitsForLock(broker), 'it has been looked up, and waits')
    await holder.query(
      `update conversation_participants set left_at = now(), left_seq = 1
        where conversation_id = $1 and user_id = $2`, [group, members[32]])
    await holder.query('update conversations set participant_count = 32 where id = $1', [group])
    await holder.query('commit')
    await reading
  } finally {
    holder.release()
  }
  const told = await broker.sql(
    'select 1 from inbox_events where user_id = $1 and type = $2', members[0], 'message_read')
  expect(told).toHaveLength(1)
})
