import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Caller, conversationEnd, direct, group, send, startTestApi, type TestApi } from '../api.ts'
import { follow, refused } from '../contract/events.ts'

const UNKNOWN = '01980f5c-6f1e-7cc3-98a4-1d2b3c4d5e6f'

let api: TestApi
let root: Caller
let alice: Caller
let bob: Caller
let carol: Caller

beforeAll(async () => {
  api = await startTestApi()
  root = await api.user('root', { claims: { scope: 'admin' } })
  alice = await api.user('alice')
  bob = await api.user('bob')
  carol = await api.user('carol')
})
afterAll(() => api[Symbol.asyncDispose]())

const history = async (caller: Caller, conversation: string): Promise<any[]> =>
  (await caller.get(`/conversations/${conversation}/messages`)).body.messages
const versions = async (id: string): Promise<string[]> =>
  (await root.get(`/admin/messages/${id}/versions`)).body.versions.map((version: any) => version.content)

let statements = 0
async function sql<Row = any> (text: string, ...values: unknown[]): Promise<Row[]> {
  return await api.messaging.database.autocommit.rows<Row>({ name: `test_${++statements}`, text }, values)
}
const block = (blocker: Caller, blocked: Caller): Promise<unknown> =>
  api.messaging.blocks.block(blocker.id, blocked.id)
const unblock = (blocker: Caller, blocked: Caller): Promise<unknown> =>
  api.messaging.blocks.unblock(blocker.id, blocked.id)

/** A group of alice (admin), bob and carol with a message of bob's. */
async function scene (content = 'helo @carol'): Promise<{ conversation: string, message: any }> {
  const conversation = await group(alice, bob, carol)
  const { body: message } = await send(bob, conversation, content, {
    client_message_id: `scene-${++statements}`, mentions: [{ user_id: carol.id, offset: 0, length: 1 }]
  })
  return { conversation, message }
}

test('an edit replaces text and mentions, for every participant', async () => {
  const { conversation, message } = await scene()
  const news = await Promise.all([alice, bob, carol].map(follow))
  const end = await conversationEnd(bob, conversation)
  const { status, body } = await bob.patch(`/messages/${message.id.toUpperCase()}`, {
    content: 'hello @alice', mentions: [{ user_id: alice.id, offset: 6, length: 6 }]
  })
  expect(status).toBe(200)
  expect(body).toEqual({
    ...message,
    content: 'hello @alice',
    mentions: [{ user_id: alice.id, offset: 6, length: 6 }],
    edited_at: expect.stringMatching(/Z$/)
  })
  for (const look of news) expect(await look()).toEqual([{ type: 'message_edited', message: body }])
  for (const caller of [alice, bob, carol]) expect(await history(caller, conversation)).toEqual([body])
  expect((await alice.get(`/conversations/${conversation}`)).body.last_message).toEqual(body)
  expect(await conversationEnd(bob, conversation)).toBe(end)
})

test('the same text again changes nothing', async () => {
  const { message } = await scene()
  const news = await follow(alice)
  const answer =
    await bob.patch(`/messages/${message.id}`, { content: message.content, mentions: message.mentions })
  expect([answer.status, answer.body]).toEqual([200, message])
  expect([await news(), await versions(message.id)]).toEqual([[], []])
})

test('other mentions alone are an edit', async () => {
  const { message } = await scene()
  expect((await bob.patch(`/messages/${message.id}`, { content: message.content })).body).toMatchObject({
    mentions: [], edited_at: expect.any(String)
  })
  expect(await versions(message.id)).toEqual([message.content])
})

test('earlier versions are there for admins, who are written to the audit log', async () => {
  const { message } = await scene('one')
  for (const content of ['two', 'three']) await bob.patch(`/messages/${message.id}`, { content })
  const { status, body } = await root.get(`/admin/messages/${message.id.toUpperCase()}/versions`)
  expect([status, body]).toEqual([200, {
    versions: [
      { version: 1, content: 'one', mentions: message.mentions, replaced_at: expect.stringMatching(/Z$/) },
      { version: 2, content: 'two', mentions: [], replaced_at: expect.stringMatching(/Z$/) }
    ]
  }])
  expect(await sql(
    'select actor_user_id, action, details from audit_log where subject_user_id = $1 order by id desc limit 1',
    bob.id
  ))
    .toEqual([{ actor_user_id: root.id, action: 'read_versions', details: { message_id: message.id } }])
  await refused(await alice.get(`/admin/messages/${message.id}/versions`), 403, 'admin_required')
  await refused(await root.get(`/admin/messages/${UNKNOWN}/versions`), 404, 'message_not_found')
  await refused(await root.get('/admin/messages/first/versions'), 400, 'invalid_request')
})

test('a message is edited a hundred times and no more', async () => {
  const { message } = await scene()
  await sql(
    'insert into message_edits (message_id, version, content, mentions, replaced_at) select $1, n, \'x\', \'[]\', now() from generate_series(1, 99) n',
    message.id
  )
  expect((await bob.patch(`/messages/${message.id}`, { content: 'the hundredth' })).status).toBe(200)
  await refused(await bob.patch(`/messages/${message.id}`, { content: 'another' }), 409, 'too_many_edits')
  expect((await bob.patch(`/messages/${message.id}`, { content: 'the hundredth' })).status).toBe(200)
})

test.each([
  ['without content', {}, 'invalid_request'],
  ['with empty content', { content: '' }, 'content_empty'],
  ['with 10,001 code points', { content: '😀'.repeat(10_001) }, 'content_too_long'],
  ['with U+0000', { content: 'a\0' }, 'invalid_text'],
  ['with a mention behind the text', {
    content: 'a', mentions: [{ user_id: 'bob', offset: 1, length: 1 }]
  }, 'mention_outside_content'],
  ['with a mention of no user id', {
    content: 'a', mentions: [{ user_id: 'a b', offset: 0, length: 1 }]
  }, 'invalid_user_id'],
  ['of the type', { content: 'a', message_type: 'image' }, 'invalid_request']
])('an edit %s is refused and changes nothing', async (_, body, code) => {
  const { conversation, message } = await scene()
  await refused(await bob.patch(`/messages/${message.id}`, body), 400, code, await follow(alice))
  expect(await history(bob, conversation)).toEqual([message])
})

test('only the sender edits; sender and admins of the group delete', async () => {
  const { conversation, message } = await scene()
  const news = await follow(bob)
  await refused(
    await alice.patch(`/messages/${message.id}`, { content: 'mine' }), 403, 'not_the_sender', news
  )
  await refused(await carol.delete(`/messages/${message.id}`), 403, 'not_the_sender', news)
  expect(await history(bob, conversation)).toEqual([message])
  expect((await alice.delete(`/messages/${message.id}`)).status).toBe(204)
  expect(await news()).toMatchObject([{ type: 'message_deleted', message_id: message.id }])
})

test('who may not send does not edit either, but deletes', async () => {
  const { conversation, message } = await scene()
  await alice.patch(`/conversations/${conversation}/participants/${bob.id}`, { can_send_messages: false })
  await refused(
    await bob.patch(`/messages/${message.id}`, { content: 'x' }), 403, 'sending_not_allowed',
    await follow(carol)
  )
  expect((await bob.delete(`/messages/${message.id}`)).status).toBe(204)
})

test('a message one cannot see is unknown; a former member is told so', async () => {
  const { conversation, message } = await scene()
  const [mallory, late] = [await api.user('mallory'), await api.user('late')]
  await alice.post(`/conversations/${conversation}/participants`, { user_id: late.id })
  const news = await Promise.all([alice, bob].map(follow))
  const attempts = (caller: Caller, id: string) => [
    () => caller.patch(`/messages/${id}`, { content: 'x' }), () => caller.delete(`/messages/${id}`),
    () => caller.put(`/messages/${id}/reactions/👍`), () => caller.delete(`/messages/${id}/reactions/👍`)
  ]
  for (const attempt of [
    ...attempts(mallory, message.id), ...attempts(late, message.id), ...attempts(bob, UNKNOWN)
  ]) {
    await refused(await attempt(), 404, 'message_not_found', ...news)
  }
  for (const attempt of attempts(bob, 'first')) {
    await refused(await attempt(), 400, 'invalid_request', ...news)
  }
  await bob.delete(`/conversations/${conversation}/participants/${bob.id}`)
  for (const look of news) await look()
  for (const attempt of attempts(bob, message.id)) {
    await refused(await attempt(), 403, 'not_a_participant', ...news)
  }
  await alice.post(`/conversations/${conversation}/participants`, { user_id: bob.id })
  for (const look of news) await look()
  for (const attempt of attempts(bob, message.id)) {
    await refused(await attempt(), 404, 'message_not_found', ...news)
  }
})

test('who joined later, or left, hears nothing of older messages', async () => {
  const { conversation, message } = await scene()
  const late = await api.user('late')
  await alice.post(`/conversations/${conversation}/participants`, { user_id: late.id })
  await carol.delete(`/conversations/${conversation}/participants/${carol.id}`)
  const news = await Promise.all([late, carol].map(follow))
  await bob.patch(`/messages/${message.id}`, { content: 'x' })
  await bob.put(`/messages/${message.id}/reactions/👍`)
  await bob.delete(`/messages/${message.id}/reactions/👍`)
  await bob.delete(`/messages/${message.id}`)
  for (const look of news) expect(await look()).toEqual([])
})

test('a deleted message is a tombstone everywhere, replays and repeated sends included', async () => {
  const conversation = await group(alice, bob)
  const [fromStart, aliceFromStart] = [await follow(bob), await follow(alice)]
  const first = await send(alice, conversation, 'secret', {
    client_message_id: 'gone-1', mentions: [{ user_id: bob.id, offset: 0, length: 1 }]
  })
  const { id } = first.body
  await alice.patch(`/messages/${id}`, { content: 'secret too' })
  await bob.put(`/messages/${id}/reactions/🎉`)
  const news = await follow(bob)
  expect((await alice.delete(`/messages/${id}`)).status).toBe(204)
  const [told] = await news()
  expect(told).toEqual({
    type: 'message_deleted',
    message_id: id,
    conversation_id: conversation,
    deleted_at: expect.stringMatching(/Z$/)
  })
  const tombstone = {
    ...first.body,
    content: null,
    mentions: [],
    attachments: [],
    reactions: [],
    edited_at: null,
    deleted_at: told!.deleted_at
  }
  expect(await history(bob, conversation)).toEqual([tombstone])
  expect((await bob.get(`/conversations/${conversation}`)).body.last_message).toEqual(tombstone)
  const again = await send(alice, conversation, 'secret', {
    client_message_id: 'gone-1', mentions: [{ user_id: bob.id, offset: 0, length: 1 }]
  })
  expect([again.status, again.body]).toEqual([200, tombstone])
  const message = { type: 'new_message', message: tombstone }
  expect(await fromStart()).toEqual([message, { ...message, type: 'message_edited' }, told, told])
  expect(await aliceFromStart()).toEqual([
    { ...message, type: 'message_sent' }, { ...message, type: 'message_edited' }, told, told
  ])
  expect(await versions(id)).toEqual([])
  expect(await sql(
    'select 1 from messages where id = $1 and content is null union all select 1 from reactions where message_id = $1',
    id
  )).toHaveLength(1)
})

test('deleting again changes nothing', async () => {
  const { message } = await scene()
  await bob.delete(`/messages/${message.id}`)
  const news = await follow(carol)
  expect((await alice.delete(`/messages/${message.id}`)).status).toBe(204)
  expect(await news()).toEqual([])
})

test('a deleted message takes neither edits nor reactions', async () => {
  const { message } = await scene()
  await bob.delete(`/messages/${message.id}`)
  const news = await follow(carol)
  for (const answer of [
    await bob.patch(`/messages/${message.id}`, { content: 'x' }),
    await alice.put(`/messages/${message.id}/reactions/👍`),
    await alice.delete(`/messages/${message.id}/reactions/👍`)
  ]) await refused(answer, 409, 'message_deleted', news)
})

test('a reply to a deleted message still leads to its tombstone', async () => {
  const { conversation, message } = await scene()
  const { body: reply } = await send(alice, conversation, 'what?', { reply_to_id: message.id })
  await bob.delete(`/messages/${message.id}`)
  expect(await history(carol, conversation)).toMatchObject([
    { id: reply.id, reply_to_id: message.id }, { id: message.id, deleted_at: expect.any(String) }
  ])
  expect((await send(carol, conversation, 'gone', { reply_to_id: message.id })).status).toBe(201)
})

test('a deleted message is unread no more, and its attachments are released', async () => {
  const { conversation, message } = await scene()
  const attachment = UNKNOWN.replace('0198', '0199')
  await sql(
    'insert into attachments (id, owner_user_id, content_type, size) values ($1, $2, \'image/png\', 5)',
    attachment, bob.id
  )
  await sql(
    'insert into message_attachments (message_id, position, attachment_id) values ($1, 0, $2)', message.id,
    attachment
  )
  const unread = async () => (await carol.get(`/conversations/${conversation}`)).body.unread_count
  expect([await unread(), (await history(carol, conversation))[0].attachments.length]).toEqual([1, 1])
  await bob.delete(`/messages/${message.id}`)
  expect([await unread(), (await history(carol, conversation))[0].attachments.length]).toEqual([0, 0])
  expect(
    await sql('select released_at is not null as released from attachments where id = $1', attachment)
  ).toEqual([{ released: true }])
})

test('of edits at the same time none is lost', async () => {
  const { conversation, message } = await scene('0')
  const news = await follow(carol)
  const contents = Array.from({ length: 20 }, (_, i) => String(i + 1))
  const answers =
    await Promise.all(contents.map(content => bob.patch(`/messages/${message.id}`, { content })))
  expect(answers.map(answer => answer.status)).toEqual(contents.map(() => 200))
  const [{ content }] = await history(carol, conversation)
  const chain = [...await versions(message.id), content]
  expect([chain[0], chain.toSorted()]).toEqual(['0', ['0', ...contents].toSorted()])
  expect(await news()).toHaveLength(20)
})

test('an edit against a deletion ends with the tombstone', async () => {
  for (let i = 0; i < 5; i++) {
    const { conversation, message } = await scene()
    const [edit, deletion] = await Promise.all([
      bob.patch(`/messages/${message.id}`, { content: 'late' }), alice.delete(`/messages/${message.id}`)
    ])
    expect(deletion.status).toBe(204)
    expect([200, 409]).toContain(edit.status)
    expect(await history(carol, conversation)).toMatchObject([
      { content: null, edited_at: null, deleted_at: expect.any(String) }
    ])
    expect(await versions(message.id)).toEqual([])
  }
})

test('an edit by a blocked user is theirs alone: for the other side the message is deleted', async () => {
  const [eve, frank] = [await api.user('eve'), await api.user('frank')]
  const conversation = await direct(eve, frank)
  const fromStart = await follow(frank)
  const { body: message } = await send(eve, conversation, 'nice')
  await block(frank, eve)
  const news = await Promise.all([eve, frank].map(follow))
  const { status, body } = await eve.patch(`/messages/${message.id}`, { content: 'not nice' })
  expect([status, body.content]).toEqual([200, 'not nice'])
  expect(await news[0]!()).toEqual([{ type: 'message_edited', message: body }])
  const told = {
    type: 'message_deleted', message_id: message.id, conversation_id: conversation, deleted_at: body.edited_at
  }
  expect(await news[1]!()).toEqual([told])
  const tombstone = { ...message, content: null, deleted_at: body.edited_at }
  expect(await history(frank, conversation)).toEqual([tombstone])
  expect(await fromStart()).toEqual([{ type: 'new_message', message: tombstone }, told])
  expect((await frank.get(`/conversations/${conversation}`)).body).toMatchObject({
    unread_count: 0, last_message: tombstone
  })
  expect(await history(eve, conversation)).toEqual([body])

  await unblock(frank, eve)
  await eve.patch(`/messages/${message.id}`, { content: 'nice again' })
  await eve.put(`/messages/${message.id}/reactions/👍`)
  await refused(await frank.put(`/messages/${message.id}/reactions/👍`), 409, 'message_deleted', news[1]!)
  await eve.delete(`/messages/${message.id}`)
  expect(await news[1]!()).toEqual([])
  expect(await history(frank, conversation)).toEqual([tombstone])
  // A replay tells no more of a deleted message than that.
  expect((await news[0]!()).map(event => event.type)).toEqual([
    'message_edited', 'message_deleted', 'message_deleted'
  ])
})

test('a blocked user edits and deletes for themselves what they sent; deleting what was seen always works', async () => {
  const [eve, frank] = [await api.user('eve'), await api.user('frank')]
  const conversation = await direct(eve, frank)
  const { body: seen } = await send(eve, conversation, 'seen')
  await block(frank, eve)
  const { body: hidden } = await send(eve, conversation, 'hidden')
  const news = await Promise.all([eve, frank].map(follow))
  await eve.patch(`/messages/${hidden.id}`, { content: 'still hidden' })
  await eve.delete(`/messages/${hidden.id}`)
  expect([await news[1]!(), (await news[0]!()).map(event => event.type)]).toEqual([
    [], ['message_edited', 'message_deleted']
  ])
  await refused(await frank.put(`/messages/${hidden.id}/reactions/👍`), 404, 'message_not_found')
  await eve.delete(`/messages/${seen.id}`)
  expect(await news[1]!()).toMatchObject([{ type: 'message_deleted', message_id: seen.id }])
})

test('a former member\'s events show the text as it was when they left', async () => {
  const dan = await api.user('dan')
  const conversation = await group(alice, bob, dan)
  const { body: message } = await send(alice, conversation, 'first')
  await alice.patch(`/messages/${message.id}`, { content: 'second' })
  await dan.delete(`/conversations/${conversation}/participants/${dan.id}`)
  await alice.patch(`/messages/${message.id}`, { content: 'third' })
  await alice.patch(`/messages/${message.id}`, { content: 'fourth' })
  const texts = async (
    caller: Caller
  ): Promise<string[]> => (await caller.get('/inbox?limit=500')).body.events
    .filter((event: any) => event.message?.id === message.id).map((event: any) => event.message.content)
  expect(await texts(dan)).toEqual(['second', 'second'])
  expect(await texts(bob)).toEqual(['fourth', 'fourth', 'fourth', 'fourth'])
  await alice.delete(`/messages/${message.id}`)
  expect(await texts(dan)).toEqual([null, null])
})
