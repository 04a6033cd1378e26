/** What a block hides, from which of the two, and for how long. */
import { eq } from 'drizzle-orm'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { blocks, push_due } from '../../../migrations/schema.ts'
import { saidToBeThere } from '../../support/connection.ts'
import { until } from '../../support/until.ts'
import {
  type Answer, type Caller, direct, group, inboxEnd, send, startTestApi, type TestApi
} from '../api.ts'

let api: TestApi

beforeAll(async () => { api = await startTestApi() })
afterAll(() => api[Symbol.asyncDispose]())

const block = (blocker: Caller, other: Caller): Promise<Answer> => blocker.put(`/blocks/${other.id}`)
const unblock = (blocker: Caller, other: Caller): Promise<Answer> => blocker.delete(`/blocks/${other.id}`)
const view = async (user: Caller, id: string): Promise<any> => (await user.get(`/conversations/${id}`)).body
const contents = async (user: Caller, id: string): Promise<string[]> =>
  (await user.get(`/conversations/${id}/messages`)).body.messages.map((message: any) => message.content)

/** Ann and ben with a direct conversation, in which ben has said "before". */
async function pair (): Promise<{ ann: Caller, ben: Caller, id: string }> {
  const [ann, ben] = [await api.user('ann'), await api.user('ben')]
  for (const user of [ann, ben]) await user.get('/users/me')
  const id = await direct(ann, ben)
  await send(ben, id, 'before')
  return { ann, ben, id }
}

/** From now on collects what comes to the user on `live`. */
function listen (user: Caller): any[] {
  const heard: any[] = []
  api.messaging.wakes.listen(
    user.id, { wake () {}, live: payload => { heard.push(JSON.parse(payload.toString())) } }
  )
  return heard
}

const connect = (user: Caller): () => void => api.messaging.connections.add(saidToBeThere(user.id))

test('blocking and unblocking may be repeated', async () => {
  const [ann, ben] = [await api.user('ann'), await api.user('ben')]
  for (const act of [block, block, unblock, unblock]) expect((await act(ann, ben)).status).toBe(204)
})

test('a user blocks neither themselves nor an id that is none', async () => {
  const ann = await api.user('ann')
  for (const method of ['PUT', 'DELETE']) {
    for (const [id, code] of [[ann.id, 'invalid_block'], [
      'a%20b', 'invalid_request'
    ], ['a%00', 'invalid_request'], ['x'.repeat(65), 'invalid_request']] as const) {
      const answer = await ann.request(method, `/blocks/${id}`)
      expect([answer.status, answer.body.code], `${method} ${id}`).toEqual([400, code])
    }
  }
  expect((await ann.get('/blocks')).body).toEqual({ blocks: [], next_cursor: null })
})

test('a user lists their own blocks only, in pages, by user id', async () => {
  const [ann, ben] = [await api.user('ann'), await api.user('ben')]
  for (const id of ['u-3', 'u-1', 'u-5', 'u-2', 'u-4']) await ann.put(`/blocks/${id}`)
  await ben.put('/blocks/u-0')
  const seen: string[] = []
  let cursor: string | null = null
  do {
    const { body }: Answer = await ann.get(`/blocks?limit=2${cursor === null ? '' : `&cursor=${cursor}`}`)
    seen.push(...body.blocks.map((entry: any) => entry.user_id))
    expect(body.blocks[0].created_at).toMatch(/Z$/)
    cursor = body.next_cursor
  } while (cursor !== null)
  expect(seen).toEqual(['u-1', 'u-2', 'u-3', 'u-4', 'u-5'])
  expect((await ann.get('/blocks?limit=5')).body.next_cursor).toBeNull()
  for (const query of ['limit=0', 'limit=201', 'cursor=a%20b']) {
    expect((await ann.get(`/blocks?${query}`)).body.code).toBe('invalid_request')
  }
})

test('there are at most 10,000', async () => {
  const ann = await api.user('ann')
  await ann.get('/users/me')
  await api.messaging.database.autocommit.orm.insert(blocks)
    .values(Array.from({ length: 9_999 }, (_, i) => ({ blocker_user_id: ann.id, blocked_user_id: `b-${i}` })))
  expect((await ann.put('/blocks/last')).status).toBe(204)
  const refused = await ann.put('/blocks/one-more')
  expect([refused.status, refused.body.code]).toEqual([409, 'too_many_blocks'])
  expect((await ann.put('/blocks/last')).status).toBe(204)
  await ann.delete('/blocks/b-0')
  expect((await ann.put('/blocks/one-more')).status).toBe(204)
})

test('a blocked user\'s messages are accepted and change nothing the blocker sees', async () => {
  const { ann, ben, id } = await pair()
  await ann.post('/inbox/ack', { seq: await inboxEnd(ann) }, { 'x-device-id': 'phone' })
  const before = [await view(ann, id), await inboxEnd(ann), (await ann.get('/conversations')).body]
  await block(ann, ben)
  const hidden = [await send(ben, id, 'hidden one'), await send(ben, id, 'hidden two')]
  expect(hidden.map(answer => answer.status)).toEqual([201, 201])
  expect([await view(ann, id), await inboxEnd(ann), (await ann.get('/conversations')).body]).toEqual(before)
  expect(await contents(ann, id)).toEqual(['before'])
  expect((await ann.post(`/messages/${hidden[0]!.body.id}/read`)).body.code).toBe('message_not_found')
  expect((await send(ann, id, 'reply', { reply_to_id: hidden[0]!.body.id })).body.code).toBe('invalid_reply')
  for (const query of ['before_id', 'after_id']) {
    expect((await ann.get(`/conversations/${id}/messages?${query}=${hidden[1]!.body.id}`)).body.code).toBe(
      'invalid_cursor'
    )
  }
  expect(
    await api.messaging.database.autocommit.orm.select().from(push_due).where(eq(push_due.user_id, ann.id))
  ).toEqual([])
})

test('the blocked user notices nothing but silence', async () => {
  const { ann, ben, id } = await pair()
  await block(ann, ben)
  const { body: message } = await send(ben, id, 'hidden')
  expect(await view(ben, id)).toMatchObject({
    last_seq: 2, last_activity_at: message.created_at, last_message: { id: message.id, status: 'sent' }
  })
  expect(await contents(ben, id)).toEqual(['hidden', 'before'])
  expect((await ben.get('/inbox')).body.events.at(-1)).toMatchObject({
    type: 'message_sent', message: { id: message.id }
  })
  expect((await ben.get(`/messages/${message.id}/status`)).body).toMatchObject({
    status: 'sent', recipients: [{ user_id: ann.id, status: 'sent' }]
  })
})

test('what was hidden stays hidden, what comes after the block is shown', async () => {
  const { ann, ben, id } = await pair()
  await block(ann, ben)
  await send(ben, id, 'hidden')
  await send(ann, id, 'from the blocker')
  await send(ben, id, 'hidden too')
  expect(await view(ann, id)).toMatchObject({
    last_seq: 3, unread_count: 1, last_message: { content: 'from the blocker' }
  })
  await unblock(ann, ben)
  expect(await view(ann, id)).toMatchObject({
    last_seq: 3, unread_count: 1, last_message: { content: 'from the blocker' }
  })
  const { body: shown } = await send(ben, id, 'after')
  expect(await view(ann, id)).toMatchObject({
    last_seq: 5, last_activity_at: shown.created_at, unread_count: 2, last_message: { id: shown.id }
  })
  expect(await contents(ann, id)).toEqual(['after', 'from the blocker', 'before'])
  expect((await ann.get('/inbox')).body.events.filter((event: any) => event.type === 'new_message')
    .map((event: any) => event.message.content)).toEqual(['before', 'after'])
})

test('sends of both that are committed together end for each where they should', async () => {
  const { ann, ben, id } = await pair()
  await block(ann, ben)
  for (let round = 0; round < 5; round++) {
    await Promise.all(Array.from({ length: 6 }, (_, i) => send(i % 3 === 0 ? ann : ben, id, `${round}.${i}`)))
    const { messages: [last] } = (await ann.get(`/conversations/${id}/messages?limit=1`)).body
    expect(await view(ann, id)).toMatchObject({
      last_seq: last.seq,
      last_activity_at: last.created_at,
      last_message: { id: last.id, sender_user_id: ann.id }
    })
  }
})

test('the list is in the order and has the pages of what it shows, though hidden messages came', async () => {
  const [ann, ben, carl, dora] = await Promise.all(['ann', 'ben', 'carl', 'dora'].map(name => api.user(name)))
  const ids = [await direct(ann!, ben!), await direct(ann!, carl!), await direct(ann!, dora!)]
  await block(ann!, ben!)
  await send(ben!, ids[0]!, 'hidden')
  const seen: string[] = []
  for (let cursor = ''; seen.length < 3;) {
    const { body } = await ann!.get(`/conversations?limit=1${cursor}`)
    seen.push(body.conversations[0].id)
    cursor = `&cursor=${body.next_cursor}`
  }
  expect(seen).toEqual(ids.toReversed())
  expect((await ben!.get('/conversations')).body.conversations[0]).toMatchObject({
    id: ids[0], last_message: { content: 'hidden' }
  })
})

test('the first message of a blocked user leaves the conversation as it was created', async () => {
  const [ann, ben] = [await api.user('ann'), await api.user('ben')]
  await block(ann, ben)
  const id = await direct(ben, ann)
  await send(ben, id, 'hidden')
  const conversation = await view(ann, id)
  expect(conversation).toMatchObject({
    last_seq: 0, unread_count: 0, last_message: null, last_activity_at: conversation.created_at
  })
})

test('in a group the messages of a blocked user arrive', async () => {
  const { ann, ben } = await pair()
  await block(ann, ben)
  const id = await group(ben, ann)
  const before = await inboxEnd(ann)
  await send(ben, id, 'to all')
  expect((await ann.get(`/inbox?after=${before}`)).body.events).toMatchObject([
    { type: 'new_message', message: { content: 'to all' } }
  ])
  expect(await view(ann, id)).toMatchObject({ unread_count: 1, last_message: { content: 'to all' } })
})

test('neither of the two sees the other typing, wherever they are', async () => {
  const { ann, ben, id } = await pair()
  const carl = await api.user('carl')
  const team = await group(carl, ann, ben)
  await block(ann, ben)
  const [anns, bens, carls] = [listen(ann), listen(ben), listen(carl)]
  for (const [user, conversation] of [
    [ann, id], [ben, id], [ann, team], [ben, team], [carl, team]
  ] as const) {
    expect((await user.post(`/conversations/${conversation}/typing`, { is_typing: true })).status).toBe(204)
  }
  const typists = (heard: any[]): string[] =>
    heard.filter(event => event.type === 'typing').map(event => event.user_id)
  expect([typists(anns), typists(bens), typists(carls)]).toEqual([[carl.id], [carl.id], [ann.id, ben.id]])
})

test('typing that was just told is not told again, and what changed is', async () => {
  const { ann, ben, id } = await pair()
  const heard = listen(ben)
  for (const is_typing of [true, true, true, false, false, true]) {
    await ann.post(`/conversations/${id}/typing`, { is_typing })
  }
  expect(heard.map(event => event.is_typing)).toEqual([true, false, true])
})

test('a user who may not send does not type', async () => {
  const { ann, ben } = await pair()
  const id = await group(ann, ben)
  await ann.patch(`/conversations/${id}/participants/${ben.id}`, { can_send_messages: false })
  const heard = listen(ann)
  const answer = await ben.post(`/conversations/${id}/typing`, { is_typing: true })
  expect([answer.status, answer.body.code, heard]).toEqual([403, 'sending_not_allowed', []])
})

test('when a block begins both see the other go, when it ends both see the other as they are', async () => {
  const { ann, ben } = await pair()
  const [anns, bens] = [listen(ann), listen(ben)]
  const leave = [connect(ann), connect(ben)]
  await until(() => anns.length === 1 && bens.length === 1, 'both have heard of the other')
  anns.length = bens.length = 0
  await block(ann, ben)
  const gone = { type: 'presence', online: false, last_seen_at: null }
  expect([anns, bens]).toEqual([[{ ...gone, user_id: ben.id }], [{ ...gone, user_id: ann.id }]])
  await unblock(ann, ben)
  expect([anns[1], bens[1]]).toMatchObject([
    { user_id: ben.id, online: true, last_seen_at: expect.any(String) }, { user_id: ann.id, online: true }
  ])
  await block(ann, ben)
  await block(ben, ann)
  await unblock(ann, ben)
  expect([anns.at(-1), bens.at(-1)]).toEqual([{ ...gone, user_id: ben.id }, { ...gone, user_id: ann.id }])
  leave.forEach(end => end())
})

test('a block between people without a direct conversation is told to no one', async () => {
  const [ann, ben] = [await api.user('ann'), await api.user('ben')]
  await group(ann, ben)
  connect(ben)
  const [anns, bens] = [listen(ann), listen(ben)]
  await block(ann, ben)
  await unblock(ann, ben)
  expect([anns, bens]).toEqual([[], []])
})

test('a hidden message stays sent, also when its reader reads on after the block', async () => {
  const { ann, ben, id } = await pair()
  await block(ann, ben)
  const { body: hidden } = await send(ben, id, 'hidden')
  await unblock(ann, ben)
  const { body: shown } = await send(ben, id, 'shown')
  await ann.post('/inbox/ack', { seq: await inboxEnd(ann) }, { 'x-device-id': 'phone' })
  await ann.post(`/messages/${shown.id}/read`)
  expect((await ben.get(`/messages/${hidden.id}/status`)).body).toMatchObject({
    status: 'sent', recipients: [{ user_id: ann.id, status: 'sent', delivered_at: null, read_at: null }]
  })
  const { body: { messages } } = await ben.get(`/conversations/${id}/messages`)
  expect(messages.map((message: any) => message.status)).toEqual(['read', 'sent', 'read'])
})
