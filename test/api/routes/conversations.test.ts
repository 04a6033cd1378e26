import { afterAll, beforeAll, expect, test } from 'vitest'
import { runSql, SERVER_VARIABLE } from '../../support/database.ts'
import { until } from '../../support/until.ts'
import {
  type Caller, conversationEnd, direct, group, inboxEnd, send, startTestApi, type TestApi
} from '../api.ts'

const UNKNOWN = '01980f5c-6f1e-7cc3-98a4-1d2b3c4d5e6f'

let api: TestApi
let alice: Caller
let bob: Caller

beforeAll(async () => {
  api = await startTestApi()
  alice = await api.user('alice', { claims: { name: 'Alice' } })
  bob = await api.user('bob')
})
afterAll(() => api[Symbol.asyncDispose]())

test('a group is created with all its fields, its creator as admin', async () => {
  await alice.get('/users/me')
  const { status, body } =
    await alice.post('/conversations', { type: 'group', participant_ids: [bob.id], title: 'Weekend' })
  expect(status).toBe(201)
  expect(body).toEqual({
    id: expect.any(String),
    type: 'group',
    title: 'Weekend',
    created_at: expect.stringMatching(/Z$/),
    last_seq: 0,
    last_activity_at: expect.stringMatching(/Z$/),
    muted_until: null,
    unread_count: 0,
    last_message: null,
    participant_count: 2,
    participants: [
      {
        user_id: alice.id,
        name: 'Alice',
        role: 'admin',
        can_send_messages: true,
        joined_at: expect.stringMatching(/Z$/),
        last_delivered_seq: 0,
        last_read_seq: 0
      },
      {
        user_id: bob.id,
        name: null,
        role: 'member',
        can_send_messages: true,
        joined_at: expect.stringMatching(/Z$/),
        last_delivered_seq: 0,
        last_read_seq: 0
      }
    ]
  })
  expect((await alice.get(`/conversations/${body.id.toUpperCase()}`)).body).toEqual(body)
})

test('a direct conversation exists once per pair, whichever of the two asks and however often at once', async () => {
  const [carol, dave] = [await api.user('carol'), await api.user('dave')]
  const answers = await Promise.all([
    carol.post('/conversations', { type: 'direct', participant_ids: [dave.id] }),
    dave.post('/conversations', { type: 'direct', participant_ids: [carol.id] }),
    carol.post('/conversations', { type: 'direct', participant_ids: [dave.id, carol.id] })
  ])
  expect(answers.map(answer => answer.status).sort()).toEqual([200, 200, 201])
  expect(new Set(answers.map(answer => answer.body.id)).size).toBe(1)
})

const refusals: Array<[string, unknown, number, string]> = [
  ['of another type', { type: 'channel', participant_ids: ['x'] }, 400, 'invalid_request'],
  ['without participants', { type: 'direct' }, 400, 'invalid_request'],
  ['of two without a second user', { type: 'direct', participant_ids: [] }, 400, 'invalid_participants'],
  ['of two with three', { type: 'direct', participant_ids: ['x', 'y'] }, 400, 'invalid_participants'],
  ['of two with a title', { type: 'direct', participant_ids: ['x'], title: 'T' }, 400, 'invalid_title'],
  ['with a user id outside the alphabet', {
    type: 'direct', participant_ids: ['x y']
  }, 400, 'invalid_request'],
  ['with U+0000 in a user id', { type: 'group', participant_ids: ['x\0'] }, 400, 'invalid_request'],
  ['with a line break in a user id', { type: 'group', participant_ids: ['x\n'] }, 400, 'invalid_request'],
  ['with a lone surrogate in a user id', {
    type: 'group', participant_ids: ['x\ud800']
  }, 400, 'invalid_request'],
  ['with U+0000 in the title', { type: 'group', participant_ids: ['x'], title: '\0' }, 400, 'invalid_text'],
  ['with a lone surrogate in the title', {
    type: 'group', participant_ids: ['x'], title: '\ud800'
  }, 400, 'invalid_text'],
  ['with a title of 201 code points', {
    type: 'group', participant_ids: ['x'], title: '😀'.repeat(201)
  }, 400, 'invalid_title'],
  ['with an unknown field', { type: 'group', participant_ids: ['x'], colour: 'red' }, 400, 'invalid_request'],
  ['with 1,001 participants', {
    type: 'group', participant_ids: Array.from({ length: 1_000 }, (_, i) => `u${i}`)
  }, 409, 'too_many_participants'],
  ['that is a list', [], 400, 'invalid_request'],
  ['that is null', null, 400, 'invalid_request']
]

test.each(refusals)('a conversation %s is refused and changes nothing', async (_, body, status, code) => {
  const before = await inboxEnd(alice)
  const answer = await alice.post('/conversations', body)
  expect([answer.status, answer.body.code]).toEqual([status, code])
  expect(await inboxEnd(alice)).toBe(before)
})

test('the list is paged by last activity and carries the snapshot of the inbox', async () => {
  const erin = await api.user('erin')
  const ids: string[] = []
  for (let i = 0; i < 5; i++) ids.push(await group(erin))
  await send(erin, ids[0]!, 'up again')
  const [oldest, ...rest] = ids
  const expected = [oldest, ...rest.reverse()]

  const seen: string[] = []
  let cursor: string | null = null
  do {
    const { status, body }: { status: number, body: any } =
      await erin.get(`/conversations?limit=2${cursor === null ? '' : `&cursor=${cursor}`}`)
    expect(status).toBe(200)
    expect(body.inbox).toEqual({ epoch: api.messaging.epoch, last_seq: await inboxEnd(erin) })
    seen.push(...body.conversations.map((conversation: { id: string }) => conversation.id))
    cursor = body.next_cursor
  } while (cursor !== null)
  expect(seen).toEqual(expected)
  expect((await erin.get('/conversations?limit=5')).body.next_cursor).toBeNull()
})

test('the list shows the last message and the unread count', async () => {
  const frank = await api.user('frank')
  const id = await direct(alice, frank)
  await send(alice, id, 'one')
  const { body: message } = await send(alice, id, 'two')
  const [conversation] = (await frank.get('/conversations')).body.conversations
  expect(conversation).toMatchObject({
    id, unread_count: 2, last_message: { id: message.id, content: 'two', attachments: [], reactions: [] }
  })
  await frank.post(`/messages/${message.id}/read`)
  expect((await frank.get(`/conversations/${id}`)).body.unread_count).toBe(0)
})

test('the list refuses a wrong limit and a foreign cursor', async () => {
  for (const [query, code] of [
    ['limit=0', 'invalid_request'], ['limit=1001', 'invalid_request'], ['cursor=abc', 'invalid_cursor'],
    [`cursor=${Buffer.from(`999999999999999999 ${UNKNOWN}`).toString('base64url')}`, 'invalid_cursor'],
    [
      `cursor=${Buffer.from('1 not-a-uuid').toString('base64url')}`, 'invalid_cursor'
    ], ['cursor=%00', 'invalid_cursor']
  ]) {
    const answer = await alice.get(`/conversations?${query}`)
    expect([answer.status, answer.body.code], query).toEqual([400, code])
  }
})

test('an admin adds participants, once and in both spellings of the body', async () => {
  const id = await group(alice)
  const { status, body } =
    await alice.post(`/conversations/${id}/participants`, { user_ids: [bob.id, 'new-1'] })
  expect([status, body.participants.map((p: { user_id: string }) => p.user_id)]).toEqual([
    200, [alice.id, bob.id, 'new-1']
  ])
  expect(
    (await alice.post(`/conversations/${id}/participants`, { user_id: 'new-2' })).body.participants
  ).toHaveLength(4)
  expect(
    (await alice.post(`/conversations/${id}/participants`, { user_id: 'new-2' })).body.participants
  ).toHaveLength(4)
})

test('an admin changes what a participant may do', async () => {
  const id = await group(alice, bob)
  expect((await alice.patch(`/conversations/${id}/participants/${bob.id}`, { role: 'admin' })).status).toBe(
    204
  )
  expect(
    (await alice.patch(`/conversations/${id}/participants/${bob.id}`, { can_send_messages: false })).status
  ).toBe(204)
  expect((await bob.get(`/conversations/${id}`)).body.participants[1]).toMatchObject({
    role: 'admin', can_send_messages: false
  })
})

test('an admin removes a participant, and a participant leaves', async () => {
  const carol = await api.user('carol')
  const id = await group(alice, bob, carol)
  expect((await alice.delete(`/conversations/${id}/participants/${bob.id}`)).status).toBe(204)
  expect((await carol.delete(`/conversations/${id}/participants/${carol.id}`)).status).toBe(204)
  expect((await alice.get(`/conversations/${id}`)).body.participants).toHaveLength(1)
})

test('participants refuse what is not allowed', async () => {
  const carol = await api.user('carol')
  const id = await group(alice, bob)
  const pair = await direct(alice, bob)
  const participants = `/conversations/${id}/participants`
  const of = (userId: string) => `${participants}/${userId}`
  for (const [name, answer, status, code] of [
    ['a member adds', await bob.post(participants, { user_id: carol.id }), 403, 'admin_required'],
    ['a member promotes themselves', await bob.patch(of(bob.id), { role: 'admin' }), 403, 'admin_required'],
    ['a member removes', await bob.delete(of(alice.id)), 403, 'admin_required'],
    ['a stranger adds', await carol.post(participants, { user_id: carol.id }), 404, 'conversation_not_found'],
    ['a stranger changes', await carol.patch(of(bob.id), { role: 'admin' }), 404, 'conversation_not_found'],
    ['a stranger removes', await carol.delete(of(bob.id)), 404, 'conversation_not_found'],
    [
      'a user who is not in is changed', await alice.patch(of(carol.id), { role: 'admin' }), 404,
      'participant_not_found'
    ],
    ['a user who is not in is removed', await alice.delete(of(carol.id)), 404, 'participant_not_found'],
    ['a direct conversation is joined', await alice.post(
      `/conversations/${pair}/participants`, { user_id: carol.id }
    ), 409, 'direct_conversation'],
    [
      'a direct conversation is left', await alice.delete(`/conversations/${pair}/participants/${alice.id}`),
      409, 'direct_conversation'
    ],
    ['a direct conversation gets an admin', await alice.patch(
      `/conversations/${pair}/participants/${bob.id}`, { role: 'admin' }
    ), 409, 'direct_conversation'],
    ['no user is added', await alice.post(participants, { user_ids: [] }), 400, 'invalid_request'],
    ['the body is empty', await alice.post(participants, {}), 400, 'invalid_request'],
    [
      'both spellings', await alice.post(participants, { user_ids: [carol.id], user_id: carol.id }), 400,
      'invalid_request'
    ],
    ['a user id with U+0000', await alice.post(participants, { user_id: '\0' }), 400, 'invalid_request'],
    ['a path with U+0000', await alice.patch(of('%00'), { role: 'admin' }), 400, 'invalid_request'],
    ['nothing to change', await alice.patch(of(bob.id), {}), 400, 'invalid_request'],
    ['an unknown role', await alice.patch(of(bob.id), { role: 'owner' }), 400, 'invalid_request'],
    ['too many', await alice.post(
      participants, { user_ids: Array.from({ length: 999 }, (_, i) => `u${i}`) }
    ), 409, 'too_many_participants'],
    [
      'an unknown conversation', await alice.post(`/conversations/${UNKNOWN}/participants`, { user_id: 'x' }),
      404, 'conversation_not_found'
    ]
  ] as const) expect([answer.status, answer.body?.code], name).toEqual([status, code])
  expect((await alice.get(`/conversations/${id}`)).body.participants).toHaveLength(2)
})

test('what happens after a participant left does not show in the events they still read', async () => {
  const carol = await api.user('carol')
  const id = await group(alice, carol)
  await send(alice, id, 'before')
  await carol.delete(`/conversations/${id}/participants/${carol.id}`)
  await send(alice, id, 'after')
  const { events } = (await carol.get('/inbox')).body
  expect(events.map((event: { type: string }) => event.type)).toEqual([
    'conversation_created', 'new_message', 'participant_removed'
  ])
  expect(events[0].conversation.last_message.content).toBe('before')
  expect(JSON.stringify(events)).not.toContain('after')
})

test('typing reaches only the other participants', async () => {
  const id = await direct(alice, bob)
  const heard: unknown[] = []
  const stops = [alice.id, bob.id].map(user => api.messaging.wakes.listen(
    user, { wake: () => {}, live: payload => heard.push([user, JSON.parse(payload.toString())]) }
  ))
  expect((await alice.post(`/conversations/${id}/typing`, { is_typing: true })).status).toBe(204)
  await until(() => heard.length > 0, 'bob hears of it')
  expect(heard).toEqual([[bob.id, {
    type: 'typing', conversation_id: id, user_id: alice.id, is_typing: true, expires_at: expect.any(String)
  }]])
  for (const stop of stops) stop()
  expect((await alice.post(`/conversations/${id}/typing`, { is_typing: 'yes' })).status).toBe(400)
})

test('a database that takes no writes makes them a 503 that says when to come back, and nothing half-done', async () => {
  await using other = await startTestApi()
  const [user, friend] = [await other.user('user'), await other.user('friend')]
  const id = await direct(user, friend)
  const name = /\/(echo_test_\w+)/.exec(other.databaseUrl)![1]
  await runSql(process.env[SERVER_VARIABLE]!, `alter database ${name} set default_transaction_read_only = on`)
  await runSql(
    process.env[SERVER_VARIABLE]!,
    `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${name}'`
  )
  const answers = await Promise.all([
    send(user, id, 'lost?'), user.put(
      '/users/me', { name: 'New' }
    ), user.put('/devices/phone', { platform: 'ios', push_token: 't' }),
    user.post('/conversations', { type: 'group', participant_ids: [] })
  ])
  for (const answer of answers) {
    expect([answer.status, answer.body.code, answer.headers.get('retry-after')]).toEqual([
      503, 'unavailable', '1'
    ])
  }
  expect([await conversationEnd(user, id), await inboxEnd(user)]).toEqual([0, 1])
})
