import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openEvents } from '../../support/event-stream.ts'
import { until } from '../../support/until.ts'
import { type Caller, direct, group, startTestApi, type TestApi } from '../api.ts'

let api: TestApi
let alice: Caller
let bob: Caller
let pair: string
let pool: pg.Pool

beforeAll(async () => {
  api = await startTestApi()
  alice = await api.user('alice')
  bob = await api.user('bob')
  pair = await direct(alice, bob)
  pool = new pg.Pool({ connectionString: api.databaseUrl, max: 2 })
})
afterAll(async () => {
  await pool.end()
  await api[Symbol.asyncDispose]()
})

const keep = async (caller: Caller, id: string, content: string, updated_at?: string): Promise<any> => {
  const { status, body } = await caller.put(`/conversations/${id}/draft`, { content, updated_at })
  expect(status).toBe(200)
  return body
}
const draftsOf = async (caller: Caller): Promise<any[]> => (await caller.get('/drafts')).body.drafts
const ago = (ms: number): string => new Date(Date.now() - ms).toISOString()

test('a draft is kept for its user alone, one for each conversation, until it is empty', async () => {
  const first = await keep(alice, pair, 'See')
  const draft = await keep(alice, pair.toUpperCase(), 'See you at')
  expect(draft).toEqual({
    conversation_id: pair, content: 'See you at', updated_at: expect.stringMatching(/Z$/)
  })
  expect(draft.updated_at > first.updated_at).toBe(true)
  expect([await draftsOf(alice), await draftsOf(bob)]).toEqual([[draft], []])

  const emptied = await keep(alice, pair, '')
  expect(emptied).toEqual({ ...draft, content: '', updated_at: expect.any(String) })
  expect(emptied.updated_at > draft.updated_at).toBe(true)
  expect(await draftsOf(alice)).toEqual([])
  expect(await keep(alice, pair, '')).toMatchObject({ content: '' })
})

test('a draft that waited does not replace a newer one, and is answered with that', async () => {
  const draft = await keep(alice, pair, 'written here')
  expect(await keep(alice, pair, 'written there before', ago(60_000))).toEqual(draft)
  expect(await keep(alice, pair, '', ago(60_000))).toEqual(draft)
  expect(await draftsOf(alice)).toEqual([draft])
  // A clock that runs ahead does not keep out what is written after it.
  expect(await keep(alice, pair, 'ahead', ago(-3_600_000))).toMatchObject({ content: 'ahead' })
  expect(await keep(alice, pair, 'now')).toMatchObject({ content: 'now' })
  await keep(alice, pair, '')
  expect(await keep(alice, pair, 'where there is none', ago(60_000))).toMatchObject({
    content: 'where there is none'
  })
  await keep(alice, pair, '')
})

test('a draft has at most 10,000 code points and may be white space, and a wrong time is refused', async () => {
  const longest = '😀'.repeat(10_000)
  expect((await keep(alice, pair, longest)).content).toBe(longest)
  expect((await keep(alice, pair, ' \n')).content).toBe(' \n')
  for (const body of [
    { content: 'x', updated_at: '0000-01-01T00:00:00Z' }, { content: 'x', updated_at: 'yesterday' },
    { content: 'x', updated_at: '2016-12-31T23:59:60Z' }, { content: 'x', unheard_of: 1 },
    { content: null }, {}
  ]) {
    const answer = await alice.put(`/conversations/${pair}/draft`, body)
    expect([answer.status, answer.body.code], JSON.stringify(body)).toEqual([400, 'invalid_request'])
  }
  expect(await draftsOf(alice)).toMatchObject([{ content: ' \n' }])
  await keep(alice, pair, '')
})

test('drafts are paged by conversation', async () => {
  const carol = await api.user('carol')
  const ids: string[] = []
  for (let i = 0; i < 5; i++) ids.push(await group(carol))
  for (const id of ids) await keep(carol, id, `in ${id}`)
  const seen: string[] = []
  let cursor: string | null = null
  do {
    const { body }: { body: any } =
      await carol.get(`/drafts?limit=2${cursor === null ? '' : `&cursor=${cursor}`}`)
    seen.push(...body.drafts.map((draft: any) => draft.conversation_id))
    cursor = body.next_cursor
  } while (cursor !== null)
  expect(seen).toEqual(ids.sort())
  expect((await carol.get('/drafts?limit=5')).body.next_cursor).toBeNull()
})

test('every session of the user is told of what has changed, and nobody else', async () => {
  using alices = await openEvents(`${api.url}/api/v1`, alice.token)
  using bobs = await openEvents(`${api.url}/api/v1`, bob.token)
  const told = (reader: typeof alices): any[] =>
    reader.events().filter(({ event }) => event === 'draft').map(({ data }) => data)
  const draft = await keep(alice, pair, 'See you at')
  await keep(alice, pair, 'older', ago(60_000))
  const emptied = await keep(alice, pair, '')
  await keep(alice, pair, '')
  const last = await keep(bob, pair, 'of bob')
  await until(() => told(alices).length >= 2 && told(bobs).length >= 1, 'the notices came')
  await keep(bob, pair, '')
  await until(() => told(bobs).length === 2, 'the last one came')
  expect(told(alices)).toEqual([{ type: 'draft', ...draft }, { type: 'draft', ...emptied }])
  expect(told(bobs)[0]).toEqual({ type: 'draft', ...last })
})

test('a draft goes with its user, and is not there when they come back', async () => {
  const dave = await api.user('dave')
  const team = await group(alice, dave)
  await keep(dave, team, 'not sent')
  await keep(alice, team, 'stays')
  await dave.delete(`/conversations/${team}/participants/${dave.id}`)
  expect((await dave.put(`/conversations/${team}/draft`, { content: 'x' })).status).toBe(403)
  expect(await draftsOf(dave)).toEqual([])
  await alice.post(`/conversations/${team}/participants`, { user_id: dave.id })
  expect(await draftsOf(dave)).toEqual([])
  expect(await draftsOf(alice)).toMatchObject([{ content: 'stays' }])
})

test('a draft that is being written while its user leaves goes too', async () => {
  const erin = await api.user('erin')
  const team = await group(alice, erin)
  const waiting = async (): Promise<number> => (await pool.query(
    "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
  )).rows.length
  const holder = await pool.connect()
  try {
    await holder.query('begin')
    await holder.query("insert into drafts values ($1, $2, 'holds the key', now())", [erin.id, team])
    const written = keep(erin, team, 'late')
    await until(async () => await waiting() === 1, 'the draft waits')
    const left = erin.delete(`/conversations/${team}/participants/${erin.id}`)
    await until(async () => await waiting() === 2, 'leaving waits for the draft')
    await holder.query('rollback')
    expect([(await written).content, (await left).status]).toEqual(['late', 204])
  } finally {
    holder.release()
  }
  expect((await pool.query('select 1 from drafts where user_id = $1', [erin.id])).rows).toEqual([])
})
