import { sql } from 'drizzle-orm'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type WakeEvent } from '../../../messaging/deliver/wakes.ts'
import {
  type Caller, conversationEnd, direct, group, inboxEnd, send, startTestApi, type TestApi
} from '../api.ts'

const UNKNOWN = '01980f5c-6f1e-7cc3-98a4-1d2b3c4d5e6f'

let api: TestApi
let alice: Caller
let bob: Caller
let conversation: string

beforeAll(async () => {
  api = await startTestApi()
  alice = await api.user('alice')
  bob = await api.user('bob')
  conversation = await direct(alice, bob)
})
afterAll(() => api[Symbol.asyncDispose]())

test('a sent message is answered with all its fields', async () => {
  const { status, body } = await send(alice, conversation, 'hello @bob', {
    client_message_id: 'fields-1', mentions: [{ user_id: bob.id, offset: 6, length: 4 }]
  })
  expect(status).toBe(201)
  expect(body).toEqual({
    id: expect.stringMatching(/^[0-9a-f-]{36}$/),
    conversation_id: conversation,
    seq: expect.any(Number),
    sender_user_id: alice.id,
    content: 'hello @bob',
    message_type: 'text',
    status: 'sent',
    mentions: [{ user_id: bob.id, offset: 6, length: 4 }],
    reply_to_id: null,
    attachments: [],
    reactions: [],
    client_message_id: 'fields-1',
    created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
    edited_at: null,
    deleted_at: null
  })
})

test('the same client_message_id sends once and answers 200 with the first message', async () => {
  const first = await send(alice, conversation, 'once', { client_message_id: 'repeat-1' })
  const again = await send(alice, conversation.toUpperCase(), 'once', { client_message_id: 'repeat-1' })
  expect([first.status, again.status]).toEqual([201, 200])
  expect(again.body).toEqual(first.body)
})

test('a client_message_id used for another message is a conflict', async () => {
  await send(alice, conversation, 'one', { client_message_id: 'reused-1' })
  const { status, body } = await send(alice, conversation, 'another', { client_message_id: 'reused-1' })
  expect([status, body.code]).toEqual([409, 'client_message_id_reused'])
})

test('a message stored with the longer fingerprint of earlier versions may be repeated', async () => {
  const first = await send(alice, conversation, 'long ago', { client_message_id: 'long-ago' })
  await api.messaging.database.autocommit.orm.execute(sql`
    update messages set client_fingerprint = client_fingerprint || 'rest' where id = ${first.body.id}`)
  const again = await send(alice, conversation, 'long ago', { client_message_id: 'long-ago' })
  expect([again.status, again.body.id]).toEqual([200, first.body.id])
})

test('a reply may be repeated with its id in other letters', async () => {
  const { body: { id } } = await send(alice, conversation, 'question')
  const first = await send(bob, conversation, 'answer', { client_message_id: 'case-1', reply_to_id: id })
  const again =
    await send(bob, conversation, 'answer', { client_message_id: 'case-1', reply_to_id: id.toUpperCase() })
  expect([first.status, again.status, again.body.reply_to_id]).toEqual([201, 200, id])
})

test('Idempotency-Key is a synonym of client_message_id', async () => {
  const body = { conversation_id: conversation, content: 'keyed', message_type: 'text' }
  const first = await alice.post('/messages', body, { 'idempotency-key': 'key-1' })
  expect(first.body.client_message_id).toBe('key-1')
  expect((await alice.post('/messages', { ...body, client_message_id: 'key-1' })).status).toBe(200)
  expect((await alice.post(
    '/messages', { ...body, client_message_id: 'key-1' }, { 'idempotency-key': 'key-1' }
  )).status).toBe(200)
})

test('an Idempotency-Key that differs from client_message_id is refused', async () => {
  const answer = await alice.post('/messages', {
    conversation_id: conversation, content: 'x', message_type: 'text', client_message_id: 'a'
  }, { 'idempotency-key': 'b' })
  expect([answer.status, answer.body.code]).toEqual([400, 'idempotency_key_mismatch'])
})

test('the device named in X-Device-ID is noted as the one that knows the message already', async () => {
  const events: WakeEvent[] = []
  const end = api.messaging.wakes.listen(alice.id, { wake: some => { events.push(...some) } })
  const body = { conversation_id: conversation, content: 'hi', message_type: 'text' }
  await alice.post('/messages', body, { 'x-device-id': 'phone' })
  await alice.post('/messages', body)
  end()
  expect(events.map(({ body, knownTo }) => [body?.type, knownTo])).toEqual([
    ['message_sent', 'phone'], ['message_sent', undefined]
  ])
  const { status, body: refused } = await alice.post('/messages', body, { 'x-device-id': 'x'.repeat(129) })
  expect([status, refused.code]).toEqual([400, 'invalid_header'])
})

test('an Idempotency-Key of 129 characters is refused', async () => {
  const answer = await alice.post('/messages', {
    conversation_id: conversation, content: 'x', message_type: 'text'
  }, { 'idempotency-key': 'k'.repeat(129) })
  expect([answer.status, answer.body.code]).toEqual([400, 'invalid_header'])
})

test('10,000 emoji are a message', async () => {
  const content = '😀'.repeat(10_000)
  expect((await send(alice, conversation, content)).body.content).toBe(content)
})

const refusals: Array<[string, object, number, string]> = [
  ['empty content', { content: '' }, 400, 'content_empty'],
  ['white space alone', { content: ' \n\t\u00a0\u3000' }, 400, 'content_empty'],
  ['what is not shown alone', { content: ' \u200b\u2060\ufeff' }, 400, 'content_empty'],
  ['10,001 code points', { content: '😀'.repeat(10_001) }, 400, 'content_too_long'],
  ['U+0000 in the content', { content: 'a\0b' }, 400, 'invalid_text'],
  ['a lone surrogate in the content', { content: 'a\ud800b' }, 400, 'invalid_text'],
  ['U+0000 in the client_message_id', { client_message_id: 'a\0b' }, 400, 'invalid_text'],
  ['a lone surrogate in the client_message_id', { client_message_id: '\udc00' }, 400, 'invalid_text'],
  ['a client_message_id of 129 characters', { client_message_id: 'x'.repeat(129) }, 400, 'invalid_request'],
  ['an empty client_message_id', { client_message_id: '' }, 400, 'invalid_request'],
  ['an unknown message type', { message_type: 'smoke-signal' }, 400, 'invalid_request'],
  ['a missing message type', { message_type: undefined }, 400, 'invalid_request'],
  ['a number as content', { content: 5 }, 400, 'invalid_request'],
  ['an unknown field', { colour: 'red' }, 400, 'invalid_request'],
  ['a field named __proto__', { ['__proto__' as string]: {} }, 400, 'invalid_request'],
  ['a conversation id that is no UUID', { conversation_id: 'general' }, 400, 'invalid_request'],
  ['an unknown conversation', { conversation_id: UNKNOWN }, 404, 'conversation_not_found'],
  ['a mention behind the text', {
    content: 'hi', mentions: [{ user_id: 'bob', offset: 1, length: 2 }]
  }, 400, 'mention_outside_content'],
  ['a mention of negative offset', {
    content: 'hi', mentions: [{ user_id: 'bob', offset: -1, length: 1 }]
  }, 400, 'invalid_request'],
  ['a mention of a user id outside the alphabet', {
    content: 'hi', mentions: [{ user_id: 'b\0b', offset: 0, length: 1 }]
  }, 400, 'invalid_user_id'],
  ['a reply to an unknown message', { reply_to_id: UNKNOWN }, 400, 'invalid_reply'],
  ['an unknown attachment', { attachment_ids: [UNKNOWN] }, 400, 'unknown_attachment']
]

test.each(refusals)('a message with %s is refused and changes nothing', async (_, change, status, code) => {
  const before = [await conversationEnd(alice, conversation), await inboxEnd(alice), await inboxEnd(bob)]
  const body = Object.assign(
    Object.create(null), { conversation_id: conversation, content: 'hello', message_type: 'text' }
  )
  for (const [key, value] of Object.entries(change)) {
    Object.defineProperty(body, key, { value, enumerable: true })
  }
  const answer = await alice.post('/messages', body)
  expect([answer.status, answer.body.code]).toEqual([status, code])
  expect([await conversationEnd(alice, conversation), await inboxEnd(alice), await inboxEnd(bob)]).toEqual(
    before
  )
})

test('a refused message does not fail the others that are sent at the same time', async () => {
  const contents = ['one', 'two\0', 'three', 'four\ud800', '', 'six']
  const answers = await Promise.all(contents.map(content => send(alice, conversation, content)))
  expect(answers.map(answer => answer.status)).toEqual([201, 400, 201, 400, 400, 201])
})

test('a reply to a message of another conversation is refused', async () => {
  const other = await group(alice, bob)
  const { body: { id } } = await send(alice, other, 'elsewhere')
  const answer = await send(alice, conversation, 'reply', { reply_to_id: id })
  expect([answer.status, answer.body.code]).toEqual([400, 'invalid_reply'])
})

test('a conversation one was never in looks unknown', async () => {
  const mallory = await api.user('mallory')
  const { body: message } = await send(alice, conversation, 'private')
  const paths = [
    `/conversations/${conversation}`, `/conversations/${conversation}/messages`, `/messages/${conversation}`,
    `/messages/${message.id}/status`
  ]
  for (const path of paths) expect((await mallory.get(path)).status, path).toBe(404)
  expect((await send(mallory, conversation, 'let me in')).body.code).toBe('conversation_not_found')
  expect((await mallory.post(`/messages/${message.id}/read`)).status).toBe(404)
  expect((await mallory.post(`/conversations/${conversation}/typing`, { is_typing: true })).status).toBe(404)
})

test('a former member is told so, and changes nothing', async () => {
  const carol = await api.user('carol')
  const id = await group(alice, bob, carol)
  const { body: message } = await send(alice, id, 'bye')
  await carol.delete(`/conversations/${id}/participants/${carol.id}`)
  const before = await conversationEnd(alice, id)
  for (const answer of [
    await send(carol, id, 'still here'),
    await carol.get(`/conversations/${id}`),
    await carol.get(`/conversations/${id}/messages`),
    await carol.get(`/messages/${message.id}/status`),
    await carol.post(`/messages/${message.id}/read`),
    await carol.post(`/conversations/${id}/typing`, { is_typing: true })
  ]) expect([answer.status, answer.body.code]).toEqual([403, 'not_a_participant'])
  expect(await conversationEnd(alice, id)).toBe(before)
})

test('a user who may not send is refused, and nothing changes', async () => {
  const id = await group(alice, bob)
  await alice.patch(`/conversations/${id}/participants/${bob.id}`, { can_send_messages: false })
  const before = await conversationEnd(alice, id)
  const answer = await send(bob, id, 'hello?')
  expect([answer.status, answer.body.code]).toEqual([403, 'sending_not_allowed'])
  expect(await conversationEnd(alice, id)).toBe(before)
})

test('history is paged newest first, and oldest first after a message', async () => {
  const id = await group(alice, bob)
  const sent: string[] = []
  for (let i = 1; i <= 5; i++) sent.push((await send(alice, id, `message ${i}`)).body.id)
  const contents = (page: { messages: Array<{ content: string }> }) =>
    page.messages.map(message => message.content.at(-1)).join('')

  const newest = (await bob.get(`/conversations/${id}/messages?limit=2`)).body
  expect([contents(newest), newest.has_more]).toEqual(['54', true])
  const older =
    (await bob.get(`/conversations/${id}/messages?limit=3&before_id=${newest.messages[1].id}`)).body
  expect([contents(older), older.has_more]).toEqual(['321', false])
  const after = (await bob.get(`/conversations/${id}/messages?after_id=${sent[2]!.toUpperCase()}`)).body
  expect([contents(after), after.has_more]).toEqual(['45', false])
  expect((await bob.get(`/messages/${id.toUpperCase()}?limit=2`)).body).toEqual(newest)
})

test('history refuses wrong paging', async () => {
  const { body: { id } } = await send(alice, await group(alice, bob), 'elsewhere')
  const path = `/conversations/${conversation}/messages`
  for (const [query, code] of [
    ['limit=0', 'invalid_request'], [
      'limit=201', 'invalid_request'
    ], ['limit=many', 'invalid_request'], ['before_id=x', 'invalid_request'],
    [
      `before_id=${id}`, 'invalid_cursor'
    ], [`after_id=${UNKNOWN}`, 'invalid_cursor'], [`before_id=${id}&after_id=${id}`, 'invalid_cursor']
  ]) {
    const answer = await alice.get(`${path}?${query}`)
    expect([answer.status, answer.body.code], query).toEqual([400, code])
  }
})

test('an id in a path that is no UUID is refused', async () => {
  for (const path of [
    '/messages/general', '/conversations/general', '/conversations/general/messages', '/messages/1/status'
  ]) {
    const answer = await alice.get(path)
    expect([answer.status, answer.body.code], path).toEqual([400, 'invalid_request'])
  }
})

test('the status of a message follows its recipients, and only the sender sees it', async () => {
  const id = await direct(alice, bob)
  const { body: message } = await send(alice, id, 'seen?')
  const status = async () => (await alice.get(`/messages/${message.id.toUpperCase()}/status`)).body
  expect(await status()).toEqual({
    message_id: message.id,
    status: 'sent',
    recipients: [
      { user_id: bob.id, status: 'sent', delivered_at: null, read_at: null }
    ]
  })
  await bob.post('/inbox/ack', { seq: await inboxEnd(bob) }, { 'x-device-id': 'phone' })
  expect(await status()).toMatchObject({
    status: 'delivered', recipients: [{ delivered_at: expect.stringMatching(/Z$/), read_at: null }]
  })
  expect((await bob.post(`/messages/${message.id}/read`)).status).toBe(204)
  expect(await status()).toMatchObject({
    status: 'read', recipients: [{ status: 'read', read_at: expect.stringMatching(/Z$/) }]
  })

  const answer = await bob.get(`/messages/${message.id}/status`)
  expect([answer.status, answer.body.code]).toEqual([403, 'not_the_sender'])
})

test('an unknown message has no status and cannot be read', async () => {
  expect((await alice.get(`/messages/${UNKNOWN}/status`)).body.code).toBe('message_not_found')
  expect((await alice.post(`/messages/${UNKNOWN}/read`)).body.code).toBe('message_not_found')
})

test('reading a message takes no body, and bears an empty one of JSON', async () => {
  const { body: { id } } = await send(alice, conversation, 'read me')
  const answer = await bob.request(
    'POST', `/messages/${id}/read`, undefined, { headers: { 'content-type': 'application/json' } }
  )
  expect(answer.status).toBe(204)
})
