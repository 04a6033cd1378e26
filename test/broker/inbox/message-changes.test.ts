import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestBroker, type TestBroker } from '../../support/broker.ts'
import { until } from '../../support/until.ts'

let broker: TestBroker

beforeAll(async () => { broker = await startTestBroker() })
afterAll(() => broker[Symbol.asyncDispose]())

test('edits, reactions and deletions reach devices that are there as they happen', async () => {
  const { messageChanges, inboxLog } = broker.messaging
  const group = await broker.group('alice', 'bob', 'carol')
  const phones = await Promise.all(['alice', 'bob', 'carol'].map(id =>
    broker.device(id, { subscribe: [`user/${id}/inbox`] })))
  const message = await broker.say('alice', group, 'helo')
  const edited = await messageChanges.edit('alice', message.id, { content: 'hello' })
  const changes = () => phones.map(({ events }) =>
    events.filter(({ type }) => type.startsWith('reaction_') || type === 'message_edited'))
  // A device that read it from the log later would see the reaction in it.
  await until(() => changes().every(events => events.length === 1), 'all have the edit')
  await messageChanges.react('bob', message.id, '👍')
  await messageChanges.unreact('bob', message.id, '👍')
  await until(() => changes().every(events => events.length === 3), 'all have three events more')
  await messageChanges.delete('alice', message.id)
  await until(
    () => phones.every(phone => phone.events.at(-1)?.type === 'message_deleted'), 'all have the deletion'
  )

  const fields = {
    message_id: message.id,
    conversation_id: group,
    user_id: 'bob',
    emoji: '👍',
    epoch: broker.messaging.epoch,
    seq: expect.any(Number)
  }
  for (const events of changes()) {
    expect(events).toEqual([
      {
        type: 'message_edited', message: { ...edited, status: 'sent' }, epoch: fields.epoch, seq: fields.seq
      },
      { type: 'reaction_added', ...fields },
      { type: 'reaction_removed', ...fields }
    ])
  }
  // Those devices had the text as it was; what is read from the log now is a tombstone.
  const replay = (await inboxLog.after('bob', 0, 100)).map(({ seq, body }) =>
    JSON.parse(`{"seq":${seq}${body.tail.toString()}`))
  expect(replay.map(event => event.type)).toEqual([
    'conversation_created', 'new_message', 'message_edited', 'message_deleted', 'message_deleted',
    'message_deleted'
  ])
  expect(replay.filter(event => event.message?.content != null)).toEqual([])
})

test('an edit in a group is encoded once for all its members', async () => {
  const { messageChanges, wakes } = broker.messaging
  const group = await broker.group('dora', 'erik', 'fay')
  const message = await broker.say('dora', group, 'helo')
  const bodies: unknown[] = []
  const end = wakes.observe({ inbox: event => { bodies.push(event.body) }, live: () => {} })
  await messageChanges.edit('dora', message.id, { content: 'hello' })
  end()
  expect([bodies.length, new Set(bodies).size]).toEqual([3, 1])
  expect(bodies[0]).toMatchObject({ type: 'message_edited' })
})
