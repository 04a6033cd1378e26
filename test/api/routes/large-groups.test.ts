/** Conversations of more than 32 participants: their views, paging through them, crossing the line. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { MAX_PARTICIPANTS_SHOWN, type ConversationView, type ParticipantView } from '../../../core/views.ts'
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

const names = (prefix: string, count: number): string[] =>
  Array.from({ length: count }, (_, i) => `${prefix}-${String(i).padStart(4, '0')}`)

async function groupOf (count: number, prefix = 'm'): Promise<{ id: string, view: ConversationView }> {
  const participant_ids = [bob.id, ...names(prefix, count - 2)]
  const { status, body } =
    await alice.post('/conversations', { type: 'group', participant_ids, title: 'Many' })
  expect(status).toBe(201)
  return { id: body.id, view: body }
}

const users = (view: Pick<ConversationView, 'participants'>): string[] =>
  view.participants.map(participant => participant.user_id)

const viewsOf = async (caller: Caller, id: string): Promise<ConversationView[]> => [
  (await caller.get(`/conversations/${id}`)).body,
  (await caller.get('/conversations')).body.conversations.find((one: ConversationView) => one.id === id)
]

/** What comes into the inboxes while something happens. */
async function eventsDuring (callers: Caller[], work: () => Promise<unknown>): Promise<any[][]> {
  const before = await Promise.all(callers.map(inboxEnd))
  await work()
  return await Promise.all(callers.map(async (caller, i) =>
    (await caller.get(`/inbox?after=${before[i]}`)).body.events))
}

async function readAll (
  caller: Caller, id: string, limit: number, between: (page: number) => Promise<unknown> = async () => {}
): Promise<ParticipantView[]> {
  const all: ParticipantView[] = []
  let cursor: string | null = ''
  for (let page = 0; cursor !== null; page++) {
    const path = `/conversations/${id}/participants?limit=${limit}${cursor === '' ? '' : `&cursor=${cursor}`}`
    const { status, body }: { status: number, body: any } = await caller.get(path)
    expect(status).toBe(200)
    all.push(...body.participants)
    cursor = body.next_cursor
    await between(page)
  }
  return all
}

test('32 participants see each other; of 33 each sees the count and oneself, in every view and event', async () => {
  const small = await groupOf(MAX_PARTICIPANTS_SHOWN)
  const [, smallForBob] = [small.view, ...await viewsOf(bob, small.id)]
  for (const view of [small.view, smallForBob!]) {
    expect([view.participant_count, users(view).length]).toEqual([32, 32])
  }

  const [alices, bobs] = await eventsDuring([alice, bob], () => groupOf(MAX_PARTICIPANTS_SHOWN + 1))
  const { id } = alices![0].conversation
  await alice.patch(`/conversations/${id}`, { title: 'Renamed' })
  await send(alice, id, 'hello')
  for (const [caller, [event]] of [[alice, alices], [bob, bobs]] as Array<[Caller, any[]]>) {
    expect(event.type).toBe('conversation_created')
    const updated = (await caller.get(`/inbox?after=${event.seq}`)).body.events[0]
    expect(updated.type).toBe('conversation_updated')
    for (const view of [event.conversation, updated.conversation, ...await viewsOf(caller, id)]) {
      expect([view.participant_count, users(view)]).toEqual([33, [caller.id]])
    }
  }
  const [view] = await viewsOf(bob, id)
  expect(view).toMatchObject({ title: 'Renamed', unread_count: 1, last_message: { content: 'hello' } })
})

test('pages of participants are complete and without duplicates while others come and go', async () => {
  const { id } = await groupOf(400, 'page')
  const staying = [alice.id, bob.id, ...names('page', 398)].filter(user => !/page-0(1|3)\d\d/.test(user))
  const leaving = names('page', 398).filter(user => /page-0(1|3)\d\d/.test(user))
  const all = await readAll(alice, id, 31, async page => {
    const [gone, ...rest] = leaving.splice(0, 3)
    await alice.post(`/conversations/${id}/participants`, { user_ids: names(`new-${page}-`, 3) })
    for (const user of [gone, ...rest]) {
      if (user !== undefined) await alice.delete(`/conversations/${id}/participants/${user}`)
    }
    if (gone !== undefined) await alice.post(`/conversations/${id}/participants`, { user_id: gone })
  })
  const read = all.map(participant => participant.user_id)
  expect(new Set(read).size).toBe(read.length)
  expect(read).toEqual(read.toSorted())
  expect(read).toEqual(expect.arrayContaining(staying))

  const now = await readAll(bob, id, 200)
  const [view] = await viewsOf(bob, id)
  expect(now).toHaveLength(view!.participant_count)
  expect(now.find(participant => participant.user_id === alice.id)).toEqual(
    (await viewsOf(alice, id))[0]!.participants[0]
  )
  expect((await bob.get(`/conversations/${id}/participants?limit=201`)).body.code).toBe('invalid_request')
})

test('a group that becomes large counts, and one that no longer is shows all its participants again', async () => {
  const { id } = await groupOf(MAX_PARTICIPANTS_SHOWN)
  const [added] = await eventsDuring([bob], () =>
    alice.post(`/conversations/${id}/participants`, { user_ids: ['cy', 'dee'] }))
  expect(added).toMatchObject([
    { type: 'participant_added', user_id: 'cy', participant_count: 34 },
    { type: 'participant_added', user_id: 'dee', participant_count: 34 }
  ])
  expect(users((await viewsOf(bob, id))[0]!)).toEqual([bob.id])

  const [one] = await eventsDuring([bob], () => alice.delete(`/conversations/${id}/participants/cy`))
  expect(one).toMatchObject([{ type: 'participant_removed', user_id: 'cy', participant_count: 33 }])
  const [two] = await eventsDuring([bob], () => alice.delete(`/conversations/${id}/participants/dee`))
  expect(two).toMatchObject([
    { type: 'participant_removed', user_id: 'dee', participant_count: 32 },
    { type: 'conversation_updated', conversation: { participant_count: 32 } }
  ])
  expect(users(two![1].conversation)).toHaveLength(32)
})

test('many who are added at once raise one event for each who was in', async () => {
  const { id } = await groupOf(12)
  const [bobs] = await eventsDuring([bob], () =>
    alice.post(`/conversations/${id}/participants`, { user_ids: names('crowd', 300) }))
  expect(bobs).toMatchObject([{ type: 'conversation_updated', conversation: { participant_count: 312 } }])
  const all = await readAll(bob, id, 200)
  expect(all).toHaveLength(312)
})

test('a former member of a large group sees how many were in when they left, and may page no more', async () => {
  const { id } = await groupOf(40)
  await bob.delete(`/conversations/${id}/participants/${bob.id}`)
  await alice.delete(`/conversations/${id}/participants/m-0001`)
  const { events } = (await bob.get(`/inbox?after=${await inboxEnd(bob) - 2}`)).body
  expect(events).toMatchObject([
    {
      type: 'conversation_created',
      conversation: { participant_count: 40, participants: [{ user_id: bob.id }] }
    },
    { type: 'participant_removed', participant_count: 39 }
  ])
  expect((await bob.get(`/conversations/${id}/participants`)).body.code).toBe('not_a_participant')
  await alice.post(`/conversations/${id}/participants`, { user_id: bob.id })
  expect((await viewsOf(bob, id))[0]!.participant_count).toBe(39)
})
