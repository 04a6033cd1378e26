/** A user who leaves a group and comes back: each message belongs to the stay in which it came. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { group, inboxEnd, send, startTestApi, type Caller, type TestApi } from '../api.ts'

let api: TestApi
let alice: Caller
let bob: Caller
let carol: Caller
let id: string

beforeAll(async () => { api = await startTestApi() })
afterAll(() => api[Symbol.asyncDispose]())
beforeEach(async () => {
  alice = await api.user('alice')
  bob = await api.user('bob')
  carol = await api.user('carol')
  id = await group(alice, bob, carol)
})

const say = async (sender: Caller, content: string): Promise<any> => (await send(sender, id, content)).body
const leave = (user: Caller) => user.delete(`/conversations/${id}/participants/${user.id}`)
const rejoin = (user: Caller) => alice.post(`/conversations/${id}/participants`, { user_id: user.id })
const acknowledge = (user: Caller, seq: number) =>
  user.post('/inbox/ack', { seq }, { 'x-device-id': 'phone' })
const acknowledgeAll = async (user: Caller) => acknowledge(user, await inboxEnd(user))
const eventsOf = async (user: Caller): Promise<any[]> => (await user.get('/inbox?limit=500')).body.events

async function statusFor (user: Caller, messageId: string): Promise<any> {
  const { body: { recipients } } = await alice.get(`/messages/${messageId}/status`)
  return recipients.find((recipient: { user_id: string }) => recipient.user_id === user.id)
}
const shownStatus = async (messageId: string): Promise<string> =>
  (await alice.get(`/conversations/${id}/messages`)).body.messages
    .find((message: { id: string }) => message.id === messageId).status

test('what was read stays read when its reader leaves and comes back, twice', async () => {
  const message = await say(alice, 'hello')
  for (const reader of [bob, carol]) await reader.post(`/messages/${message.id}/read`)
  const read = await statusFor(bob, message.id)
  expect(read).toMatchObject({ status: 'read', read_at: expect.any(String) })
  for (const text of ['one', 'two']) {
    await leave(bob)
    await say(alice, text)
    await rejoin(bob)
    await say(alice, `after ${text}`)
    expect(await statusFor(bob, message.id)).toEqual(read)
    expect(await shownStatus(message.id)).toBe('read')
  }
})

test('what came while a user was away is not for them', async () => {
  await say(alice, 'before')
  await leave(bob)
  const missed = await say(alice, 'missed')
  await rejoin(bob)
  const seen = await say(alice, 'seen')
  await acknowledgeAll(bob)
  await bob.post(`/messages/${seen.id}/read`)
  expect(await statusFor(bob, missed.id)).toBeUndefined()
  expect(await statusFor(bob, seen.id)).toMatchObject({ status: 'read' })
  const { body: { messages } } = await bob.get(`/conversations/${id}/messages`)
  expect(messages.map((message: any) => message.content)).toEqual(['seen'])
})

test('an acknowledgement that comes after the rejoin counts for the earlier stay', async () => {
  const message = await say(alice, 'before')
  const had = await inboxEnd(bob)
  await leave(bob)
  await say(alice, 'missed')
  await rejoin(bob)
  await acknowledge(bob, had)
  expect(await statusFor(bob, message.id)).toMatchObject({
    status: 'delivered', delivered_at: expect.any(String)
  })
  expect((await eventsOf(alice)).at(-1)).toMatchObject({
    type: 'message_delivered', user_id: bob.id, message_id: message.id, up_to_seq: message.seq
  })
})

test('one acknowledgement over two stays counts for both, and for nothing in between', async () => {
  const first = await say(alice, 'first')
  await leave(bob)
  await say(alice, 'missed')
  await rejoin(bob)
  const second = await say(alice, 'second')
  expect(await statusFor(bob, first.id)).toMatchObject({ status: 'sent', delivered_at: null, read_at: null })
  await acknowledgeAll(bob)
  for (const message of [first, second]) {
    expect(await statusFor(bob, message.id)).toMatchObject({ status: 'delivered', read_at: null })
  }
  await bob.post(`/messages/${second.id}/read`)
  expect(await statusFor(bob, first.id)).toMatchObject({ status: 'delivered', read_at: null })
})

test('events of an earlier stay show nothing that came after it', async () => {
  const message = await say(alice, 'as bob knew it')
  await carol.put(`/messages/${message.id}/reactions/👍`)
  await leave(bob)
  await alice.patch(`/messages/${message.id}`, { content: 'changed while bob was away' })
  await carol.put(`/messages/${message.id}/reactions/😂`)
  await rejoin(bob)
  await alice.patch(`/messages/${message.id}`, { content: 'changed again' })
  const shown = (await eventsOf(bob)).find(event => event.message?.id === message.id).message
  expect(shown).toMatchObject({
    content: 'as bob knew it', edited_at: null, reactions: [{ user_id: carol.id, emoji: '👍' }]
  })
})

test('a deletion holds in the events of an earlier stay', async () => {
  const message = await say(alice, 'gone')
  await leave(bob)
  await rejoin(bob)
  await alice.delete(`/messages/${message.id}`)
  const [shown] = (await eventsOf(bob)).filter(event => event.message?.id === message.id)
  expect(shown.message).toMatchObject({ content: null, deleted_at: expect.any(String) })
})

test('a former member still sees those who were in, though they have left and come back since', async () => {
  await say(alice, 'hello')
  await leave(bob)
  await say(alice, 'goodbye')
  await leave(carol)
  await say(alice, 'alone')
  await rejoin(carol)
  const created = (await eventsOf(bob)).find(event => event.type === 'conversation_created')
  expect(created.conversation.participant_count).toBe(3)
  expect(created.conversation.participants.map((participant: any) => participant.user_id).sort())
    .toEqual([alice.id, bob.id, carol.id].sort())
})
