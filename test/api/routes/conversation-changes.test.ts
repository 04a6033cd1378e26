/** Title, mute, roles, leaving and joining again: what the caller gets, and what all devices learn. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type Answer, type Caller, direct, group, inboxEnd, send, startTestApi, type TestApi
} from '../api.ts'

let api: TestApi
let alice: Caller
let bob: Caller
let carol: Caller
let stranger: Caller

beforeAll(async () => {
  api = await startTestApi()
  alice = await api.user('alice', { claims: { name: 'Alice' } })
  bob = await api.user('bob', { claims: { name: 'Bob' } })
  carol = await api.user('carol')
  stranger = await api.user('stranger')
  for (const user of [alice, bob, carol, stranger]) await user.get('/users/me')
})
afterAll(() => api[Symbol.asyncDispose]())

/** What each of these users learns while `work` runs. */
async function news (users: Caller[], work: () => Promise<unknown>): Promise<any[][]> {
  const before = await Promise.all(users.map(inboxEnd))
  await work()
  return await Promise.all(users.map(async (user, i) =>
    (await user.get(`/inbox?after=${before[i]}`)).body.events))
}

const types = (events: any[]): string[] => events.map(event => event.type)
const view = async (user: Caller, id: string): Promise<any> => (await user.get(`/conversations/${id}`)).body
const roles = (conversation: any): object =>
  Object.fromEntries(conversation.participants.map((p: any) => [p.user_id, p.role]))
const leave = (user: Caller, id: string): Promise<Answer> =>
  user.delete(`/conversations/${id}/participants/${user.id}`)

test('a new title reaches every participant and does not count as activity', async () => {
  const id = await group(alice, bob)
  const { last_activity_at } = await view(alice, id)
  const [own, bobs] = await news([alice, bob], async () => {
    const { status, body } = await alice.patch(`/conversations/${id}`, { title: ' Berlin 😀 ' })
    expect([status, body.title]).toEqual([200, 'Berlin 😀'])
    expect(body).toEqual(await view(alice, id))
  })
  expect([types(own!), types(bobs!)]).toEqual([['conversation_updated'], ['conversation_updated']])
  expect(bobs![0].conversation).toEqual(await view(bob, id))
  expect((await view(bob, id)).last_activity_at).toBe(last_activity_at)
})

test.each([[null], [''], ['  ']])('the title %j clears it', async title => {
  const id = await group(alice)
  expect((await alice.patch(`/conversations/${id}`, { title })).body.title).toBeNull()
})

test('a mute is for oneself, and the others learn nothing of it', async () => {
  const id = await group(alice, bob)
  const pair = await direct(alice, bob)
  for (const conversation of [id, pair]) {
    const [alices, bobs] = await news([alice, bob], async () => {
      const { status, body } =
        await bob.patch(`/conversations/${conversation}`, { muted_until: '2031-02-03T05:05:06+01:00' })
      expect([status, body.muted_until]).toEqual([200, '2031-02-03T04:05:06.000Z'])
    })
    expect([types(alices!), types(bobs!)]).toEqual([[], ['conversation_updated']])
    expect(bobs![0].conversation.muted_until).toBe('2031-02-03T04:05:06.000Z')
  }
  expect((await view(alice, id)).muted_until).toBeNull()
  expect((await bob.patch(`/conversations/${id}`, { muted_until: null })).body.muted_until).toBeNull()
})

test('what changes nothing raises no event', async () => {
  const id = await group(alice, bob)
  await bob.patch(`/conversations/${id}`, { muted_until: '2031-01-01T00:00:00Z' })
  const { last_activity_at } = await view(alice, id)
  const learned = await news([alice, bob], async () => {
    for (const answer of [
      await alice.patch(`/conversations/${id}`, { title: 'Group' }),
      await alice.patch(`/conversations/${id}`, { title: 'Group', muted_until: null }),
      await bob.patch(`/conversations/${id}`, { muted_until: '2031-01-01T00:00:00.000Z' }),
      await alice.post(`/conversations/${id}/participants`, { user_id: bob.id })
    ]) expect(answer.status).toBe(200)
    expect((await alice.patch(
      `/conversations/${id}/participants/${bob.id}`, { role: 'member', can_send_messages: true }
    )).status).toBe(204)
  })
  expect(learned).toEqual([[], []])
  expect((await view(alice, id)).last_activity_at).toBe(last_activity_at)
})

test('title and mute change together or not at all', async () => {
  const id = await group(alice, bob)
  const [, bobs] = await news([alice, bob], async () => {
    expect(
      (await alice.patch(`/conversations/${id}`, { title: 'Both', muted_until: '2031-01-01T00:00:00Z' })).body
    ).toMatchObject({ title: 'Both', muted_until: '2031-01-01T00:00:00.000Z' })
  })
  expect(bobs![0].conversation).toMatchObject({ title: 'Both', muted_until: null })
  expect((await bob.patch(
    `/conversations/${id}`, { title: 'Mine', muted_until: '2031-01-01T00:00:00Z' }
  )).body.code).toBe('admin_required')
  expect(await view(bob, id)).toMatchObject({ title: 'Both', muted_until: null })
})

test('a conversation refuses what may not be changed, and nothing changes', async () => {
  const former = await api.user('former')
  const id = await group(alice, bob, former)
  await leave(former, id)
  const pair = await direct(alice, bob)
  const before = [await view(alice, id), await view(alice, pair)]
  const path = `/conversations/${id}`
  const learned = await news([alice, bob, former], async () => {
    for (const [name, answer, status, code] of [
      ['nothing', await alice.patch(path, {}), 400, 'invalid_request'],
      ['an unknown field', await alice.patch(path, { name: 'x' }), 400, 'invalid_request'],
      ['a title of 201', await alice.patch(path, { title: '😀'.repeat(201) }), 400, 'invalid_title'],
      ['a title that turns', await alice.patch(path, { title: 'a\u202eb' }), 400, 'invalid_text'],
      ['a title with U+0000', await alice.patch(path, { title: 'a\0' }), 400, 'invalid_text'],
      ['a title that is a number', await alice.patch(path, { title: 5 }), 400, 'invalid_request'],
      [
        'a time that is none', await alice.patch(path, { title: 'x', muted_until: 'tomorrow' }), 400,
        'invalid_request'
      ],
      [
        'a time without a zone', await alice.patch(path, { muted_until: '2031-01-01T00:00:00' }), 400,
        'invalid_request'
      ],
      [
        'a leap second', await alice.patch(path, { title: 'x', muted_until: '2030-12-31T23:59:60Z' }), 400,
        'invalid_muted_until'
      ],
      [
        'the year 0', await alice.patch(path, { muted_until: '0000-01-01T00:00:00Z' }), 400,
        'invalid_muted_until'
      ],
      ['a member\'s title', await bob.patch(path, { title: 'x' }), 403, 'admin_required'],
      ['a title for two', await alice.patch(
        `/conversations/${pair}`, { title: 'x', muted_until: '2031-01-01T00:00:00Z' }
      ), 409, 'direct_conversation'],
      ['a stranger', await stranger.patch(path, { muted_until: null }), 404, 'conversation_not_found'],
      ['a former member', await former.patch(path, { muted_until: null }), 403, 'not_a_participant'],
      ['a former member who leaves', await leave(former, id), 403, 'not_a_participant'],
      [
        'a former member who joins', await former.post(`${path}/participants`, { user_id: former.id }), 403,
        'not_a_participant'
      ],
      [
        'a former member who promotes',
        await former.patch(`${path}/participants/${bob.id}`, { role: 'admin' }), 403, 'not_a_participant'
      ],
      [
        'a former member is removed', await alice.delete(`${path}/participants/${former.id}`), 404,
        'participant_not_found'
      ],
      ['the last admin', await alice.patch(
        `${path}/participants/${alice.id}`, { role: 'member', can_send_messages: false }
      ), 409, 'last_admin']
    ] as const) expect([answer.status, answer.body?.code], name).toEqual([status, code])
  })
  expect(learned).toEqual([[], [], []])
  expect([await view(alice, id), await view(alice, pair)]).toEqual(before)
})

test('an admin steps back once there is another', async () => {
  const id = await group(alice, bob)
  await alice.patch(`/conversations/${id}/participants/${bob.id}`, { role: 'admin' })
  const [own] = await news([alice], async () => {
    expect(
      (await alice.patch(`/conversations/${id}/participants/${alice.id}`, { role: 'member' })).status
    ).toBe(204)
  })
  expect(own).toMatchObject([{
    type: 'participant_updated',
    conversation_id: id,
    user_id: alice.id,
    name: 'Alice',
    role: 'member',
    can_send_messages: true
  }])
  expect(roles(await view(bob, id))).toEqual({ [alice.id]: 'member', [bob.id]: 'admin' })
})

test('when the last admin leaves, the longest-standing member becomes one', async () => {
  const [young, old] = [await api.user('a-young'), await api.user('z-old')]
  const id = await group(alice, old)
  await alice.post(`/conversations/${id}/participants`, { user_id: young.id })
  const [alices, olds] = await news([alice, old, young], () => leave(alice, id))
  expect(types(alices!)).toEqual(['participant_removed'])
  expect(olds).toMatchObject([
    { type: 'participant_removed', user_id: alice.id, left_at: expect.stringMatching(/Z$/) },
    { type: 'participant_updated', user_id: old.id, role: 'admin', can_send_messages: true }
  ])
  expect(roles(await view(young, id))).toEqual({ [old.id]: 'admin', [young.id]: 'member' })
  expect((await view(young, id)).last_activity_at).toBe(olds![0].left_at)
})

test('of those who joined together the first id becomes admin, and the last one can leave too', async () => {
  const [a, b] = [await api.user('aa'), await api.user('bb')]
  const id = await group(alice, b, a)
  await leave(alice, id)
  expect(roles(await view(b, id))).toEqual({ [a.id]: 'admin', [b.id]: 'member' })
  for (const user of [a, b]) expect((await leave(user, id)).status).toBe(204)
  for (const user of [alice, a, b]) {
    expect((await user.get(`/conversations/${id}`)).body.code).toBe('not_a_participant')
    expect((await leave(user, id)).body.code).toBe('not_a_participant')
  }
})

test('while admins leave at once, the members who stay have one', async () => {
  const members = await Promise.all(['m1', 'm2', 'm3', 'm4', 'm5', 'm6'].map(name => api.user(name)))
  const id = await group(members[0]!, ...members.slice(1))
  await members[0]!.patch(`/conversations/${id}/participants/${members[1]!.id}`, { role: 'admin' })
  const gone = await Promise.all(members.slice(0, 4).map(member => leave(member, id)))
  expect(gone.map(answer => answer.status)).toEqual([204, 204, 204, 204])
  expect(Object.values(roles(await view(members[5]!, id))).filter(role => role === 'admin')).toHaveLength(1)
  await Promise.all([leave(
    members[4]!, id
  ), members[5]!.patch(`/conversations/${id}/participants/${members[5]!.id}`, { role: 'admin' })])
  expect(roles(await view(members[5]!, id))).toEqual({ [members[5]!.id]: 'admin' })
})

test('two admins who demote each other at once leave one', async () => {
  for (let round = 0; round < 5; round++) {
    const id = await group(alice, bob)
    await alice.patch(`/conversations/${id}/participants/${bob.id}`, { role: 'admin' })
    const answers = await Promise.all([[alice, bob], [bob, alice]].map(([actor, subject]) =>
      actor!.patch(`/conversations/${id}/participants/${subject!.id}`, { role: 'member' })))
    expect(answers.map(answer => answer.status).sort()).toEqual([204, 403])
    expect(Object.values(roles(await view(alice, id))).sort()).toEqual(['admin', 'member'])
  }
})

test('two who are added at once to 999 make 1,000, and one is refused', async () => {
  const others = Array.from({ length: 998 }, (_, i) => `many-${i}`)
  const { body: { id } } = await carol.post('/conversations', { type: 'group', participant_ids: others })
  const answers = await Promise.all(['last-1', 'last-2'].map(user_id =>
    carol.post(`/conversations/${id}/participants`, { user_id })))
  expect(answers.map(answer => answer.body.code ?? answer.status).sort()).toEqual([
    200, 'too_many_participants'
  ])
  const before = await inboxEnd(carol)
  expect(
    (await carol.post(`/conversations/${id}/participants`, { user_ids: ['many-1', 'one-more'] })).body.code
  ).toBe('too_many_participants')
  expect([(await view(carol, id)).participant_count, await inboxEnd(carol)]).toEqual([1_000, before])
})

test('an added user comes with all that a copy of the conversation needs', async () => {
  const id = await group(alice, carol)
  await send(alice, id, 'before bob')
  const [carols, bobs] =
    await news([carol, bob], () => alice.post(`/conversations/${id}/participants`, { user_id: bob.id }))
  const { seq, epoch, type, conversation_id, participant_count, ...participant } = carols![0]
  expect([type, conversation_id, participant_count]).toEqual(['participant_added', id, 3])
  const conversation = await view(carol, id)
  expect(conversation.participants).toContainEqual(participant)
  expect(participant).toMatchObject({ name: 'Bob', last_delivered_seq: 1, last_read_seq: 1 })
  expect(conversation.last_activity_at).toBe(participant.joined_at)
  expect(bobs).toMatchObject([
    { type: 'conversation_created', conversation: { id, last_seq: 1, unread_count: 0, last_message: null } }
  ])
})

test('very many who are added to a large group come as one event for each of its members', async () => {
  const { body: { id } } = await carol.post(
    '/conversations', { type: 'group', participant_ids: Array.from({ length: 101 }, (_, i) => `large-${i}`) }
  )
  const [carols] = await news([carol], () => carol.post(
    `/conversations/${id}/participants`, { user_ids: Array.from({ length: 100 }, (_, i) => `flood-${i}`) }
  ))
  expect(types(carols!)).toEqual(['conversation_updated'])
  expect(carols![0].conversation).toEqual(await view(carol, id))
})

test('a rejoin starts anew', async () => {
  const id = await group(alice, bob, carol)
  await alice.patch(
    `/conversations/${id}/participants/${bob.id}`, { role: 'admin', can_send_messages: false }
  )
  await bob.patch(`/conversations/${id}`, { muted_until: '2031-01-01T00:00:00Z' })
  await send(alice, id, 'early')
  await leave(bob, id)
  const { body: missed } = await send(alice, id, 'missed')
  await alice.post(`/conversations/${id}/participants`, { user_id: bob.id })
  expect(await view(bob, id)).toMatchObject({
    last_message: null, unread_count: 0, muted_until: null, last_seq: 2
  })
  expect((await view(bob, id)).participants.at(-1)).toMatchObject({
    user_id: bob.id, role: 'member', can_send_messages: true
  })
  expect((await bob.post(`/messages/${missed.id}/read`)).body.code).toBe('message_not_found')
  await send(alice, id, 'seen')
  expect((await bob.get(`/conversations/${id}/messages`)).body.messages).toMatchObject([
    { content: 'seen', seq: 3 }
  ])
})

test('the events of a former member show the conversation as it was when they left', async () => {
  const id = await group(alice, bob, carol)
  await send(alice, id, 'last one bob sees')
  await leave(bob, id)
  const { body: after } = await send(alice, id, 'secret')
  await carol.post(`/messages/${after.id}/read`)
  await alice.patch(`/conversations/${id}`, { title: 'Secret' })
  await alice.post(`/conversations/${id}/participants`, { user_id: stranger.id })
  await leave(carol, id)
  const { events } = (await bob.get('/inbox?limit=500')).body
  const [created] = events.filter((event: any) => event.type === 'conversation_created' &&
    event.conversation.id === id)
  expect(created.conversation).toMatchObject({
    title: 'Group', last_seq: 1, last_message: { content: 'last one bob sees' }
  })
  expect(created.conversation.last_activity_at).toBe(events.at(-1).left_at)
  expect(Object.keys(roles(created.conversation)).sort()).toEqual([alice.id, bob.id, carol.id].sort())
  expect(created.conversation.participants.map((p: any) => p.last_read_seq)).toEqual([0, 0, 1])
})
