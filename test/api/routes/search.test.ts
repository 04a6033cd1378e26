import { afterAll, beforeAll, expect, test } from 'vitest'
import fc from 'fast-check'
import pg from 'pg'
import { type Answer, type Caller, direct, group, send, startTestApi, type TestApi } from '../api.ts'

let api: TestApi
let alice: Caller
let bob: Caller
let carol: Caller
let pair: string
let team: string

beforeAll(async () => {
  api = await startTestApi()
  alice = await api.user('alice')
  bob = await api.user('bob')
  carol = await api.user('carol')
  pair = await direct(alice, bob)
  team = await group(alice, bob, carol)
})
afterAll(() => api[Symbol.asyncDispose]())

const search = (caller: Caller, q: string, more = ''): Promise<Answer> =>
  caller.get(`/messages/search?q=${encodeURIComponent(q)}${more}`)
const found = async (caller: Caller, q: string, more = ''): Promise<string[]> =>
  (await search(caller, q, more)).body.messages.map((message: { content: string }) => message.content)

test('words are found in all of one\'s conversations, newest first', async () => {
  await send(alice, pair, 'A walrus, at dawn')
  await send(bob, team, 'no such animal')
  await send(carol, team, 'the WALRUS again')
  expect(await found(bob, 'walrus')).toEqual(['the WALRUS again', 'A walrus, at dawn'])
  expect(await found(bob, 'walrus', `&conversation_id=${pair}`)).toEqual(['A walrus, at dawn'])
  expect(await found(bob, 'walrus -dawn')).toEqual(['the WALRUS again'])
  expect(await found(bob, '"at dawn"')).toEqual(['A walrus, at dawn'])
  expect(await found(bob, 'dawn or again')).toHaveLength(2)
})

test('a found message is what history shows', async () => {
  const { body: sent } =
    await send(alice, pair, 'heliotrope', { mentions: [{ user_id: bob.id, offset: 0, length: 3 }] })
  const { body } = await search(bob, 'heliotrope')
  const history = await bob.get(`/conversations/${pair}/messages?limit=1`)
  expect(body).toEqual({ messages: history.body.messages, has_more: false })
  expect(body.messages[0].id).toBe(sent.id)
})

test('an edited message is found by what it says now, a deleted one not at all', async () => {
  const { body: { id } } = await send(alice, pair, 'gallimaufry')
  await alice.patch(`/messages/${id}`, { content: 'hodgepodge' })
  expect([await found(bob, 'gallimaufry'), await found(bob, 'hodgepodge')]).toEqual([[], ['hodgepodge']])
  await alice.delete(`/messages/${id}`)
  expect(await found(bob, 'hodgepodge')).toEqual([])
})

test('a user does not find what they cannot see', async () => {
  await send(alice, team, 'quicksilver for the team')
  const dave = await api.user('dave')
  expect(await found(dave, 'quicksilver')).toEqual([])
  await alice.post(`/conversations/${team}/participants`, { user_ids: [dave.id] })
  expect(await found(dave, 'quicksilver')).toEqual([])
  await send(alice, team, 'more quicksilver')
  expect(await found(dave, 'quicksilver')).toEqual(['more quicksilver'])
  await dave.delete(`/conversations/${team}/participants/${dave.id}`)
  expect(await found(dave, 'quicksilver')).toEqual([])
  expect((await search(dave, 'quicksilver', `&conversation_id=${team}`)).body.code).toBe('not_a_participant')
  expect((await search(dave, 'quicksilver', `&conversation_id=${pair}`)).body.code).toBe(
    'conversation_not_found'
  )
})

test('what is hidden from a blocker is found by its sender only', async () => {
  const eve = await api.user('eve')
  const conversation = await direct(alice, eve)
  await api.messaging.database.autocommit.rows({
    name: 'test_block', text: 'insert into blocks (blocker_user_id, blocked_user_id) values ($1, $2)'
  }, [alice.id, eve.id])
  await send(eve, conversation, 'vermilion')
  expect([await found(alice, 'vermilion'), await found(eve, 'vermilion')]).toEqual([[], ['vermilion']])
})

test.each([
  ['no word', '...', 'invalid_query'],
  ['nothing', '', 'invalid_query'],
  ['201 code points', 'x'.repeat(201), 'invalid_query'],
  ['U+0000', 'a\0', 'invalid_text']
])('a query of %s is refused', async (_, q, code) => {
  const { status, body } = await search(alice, q)
  expect([status, body.code]).toEqual([400, code])
})

test('what the server cannot look through in time is refused, and the next search works', async () => {
  const client = new pg.Client({ connectionString: api.databaseUrl })
  await client.connect()
  try {
    await client.query('begin; lock table messages')
    const { status, body } = await search(bob, 'walrus')
    expect([status, body.code]).toEqual([400, 'query_too_broad'])
  } finally {
    await client.end()
  }
  expect(await found(bob, 'walrus')).toHaveLength(2)
})

test('many words in many conversations: pages show none twice and miss none, while others write', async () => {
  const reader = await api.user('reader')
  const others = await Promise.all(['f', 'g', 'h', 'i'].map(name => api.user(name)))
  const conversations = await Promise.all(others.map(other => direct(other, reader)))
  await fc.assert(fc.asyncProperty(
    fc.array(fc.nat(3), { minLength: 1, maxLength: 25 }), fc.integer({ min: 1, max: 7 }), fc.uuid()
      .map(id => `w${id.replaceAll('-', '')}`),
    async (senders, limit, word) => {
      const ids: string[] = []
      for (const i of senders) {
        ids.push((await send(others[i]!, conversations[i]!, `say ${word} ${ids.length}`)).body.id)
      }
      const seen: string[] = []
      for (let before = ''; ;) {
        const [{ body }] = await Promise.all([
          search(reader, word, `&limit=${limit}${before}`),
          send(others[seen.length % 4]!, conversations[seen.length % 4]!, `later ${word}`)
        ])
        seen.push(...body.messages.map((message: { id: string }) => message.id))
        if (body.has_more !== true) break
        before = `&before_id=${seen.at(-1)}`
      }
      expect(new Set(seen).size).toBe(seen.length)
      expect(seen).toEqual(seen.toSorted().reverse())
      // What was sent while the first page was read may stand before them.
      expect(seen.filter(id => ids.includes(id))).toEqual(ids.toReversed())
    }), { numRuns: 12 })
})
