import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Caller, direct, group, send, startTestApi, type TestApi } from '../api.ts'
import { follow, refused } from '../contract/events.ts'

let api: TestApi
let alice: Caller
let bob: Caller
let conversation: string
let message: any

beforeAll(async () => {
  api = await startTestApi()
  alice = await api.user('alice')
  bob = await api.user('bob')
  conversation = await group(alice, bob)
  message = (await send(alice, conversation, 'react!')).body
})
afterAll(() => api[Symbol.asyncDispose]())

let statements = 0
const sql = (text: string, ...values: unknown[]): Promise<unknown[]> =>
  api.messaging.database.autocommit.rows({ name: `test_${++statements}`, text }, values)

const path = (emoji: string, id = message.id): string =>
  `/messages/${id}/reactions/${encodeURIComponent(emoji)}`
const shown = async (caller: Caller, id = conversation): Promise<Array<[string, string]>> =>
  (await caller.get(`/conversations/${id}/messages`)).body.messages[0].reactions.map((reaction: any) =>
    [reaction.user_id, reaction.emoji])

test('reactions show on the message, the oldest first, and every participant learns of them', async () => {
  const news = await Promise.all([alice, bob].map(follow))
  for (const [caller, emoji] of [[bob, '👍'], [alice, '❤️'], [alice, '👍']] as const) {
    expect(await caller.put(path(emoji, message.id.toUpperCase()))).toMatchObject({
      status: 204, body: undefined
    })
  }
  const all = [[bob.id, '👍'], [alice.id, '❤️'], [alice.id, '👍']]
  for (const caller of [alice, bob]) expect(await shown(caller)).toEqual(all)
  for (const look of news) {
    expect(await look()).toEqual(all.map(([user_id, emoji]) =>
      ({ type: 'reaction_added', message_id: message.id, conversation_id: conversation, user_id, emoji })))
  }
  expect((await alice.delete(path('❤️'))).status).toBe(204)
  for (const look of news) {
    expect(await look()).toEqual([{
      type: 'reaction_removed',
      message_id: message.id,
      conversation_id: conversation,
      user_id: alice.id,
      emoji: '❤️'
    }])
  }
  expect(await shown(bob)).toEqual([[bob.id, '👍'], [alice.id, '👍']])
  for (const caller of [alice, bob]) await caller.delete(path('👍'))
})

test('with and without its variation selector an emoji is the same; a repetition changes nothing', async () => {
  await bob.put(path('❤️'))
  const news = await follow(alice)
  for (const emoji of ['❤️', '❤']) expect((await bob.put(path(emoji))).status).toBe(204)
  expect([await news(), await shown(alice)]).toEqual([[], [[bob.id, '❤️']]])
  for (let i = 0; i < 2; i++) expect((await bob.delete(path('❤'))).status).toBe(204)
  expect([(await news()).length, await shown(alice)]).toEqual([1, []])
})

test('what is not one emoji is refused', async () => {
  const news = await follow(alice)
  for (const text of ['', 'a', '1', '👍👍', '👍 ', ':-)', '\0', '🇩', 'x'.repeat(2_000)]) {
    await refused(await bob.put(path(text)), 400, 'invalid_emoji', news)
    await refused(await bob.delete(path(text)), 400, 'invalid_emoji', news)
  }
  await refused(await bob.put(`/messages/${message.id}/reactions/%ff`), 400, 'invalid_request', news)
})

test('reactions of one user, and of a message, have a limit', async () => {
  const { body: { id } } = await send(alice, conversation, 'popular')
  const emoji = Array.from({ length: 21 }, (_, i) => String.fromCodePoint(0x1F600 + i))
  for (const one of emoji.slice(0, 20)) expect((await bob.put(path(one, id))).status).toBe(204)
  const news = await follow(alice)
  await refused(await bob.put(path(emoji[20]!, id)), 409, 'too_many_reactions', news)
  expect((await bob.put(path(emoji[0]!, id))).status).toBe(204)
  await sql(
    'insert into reactions (message_id, user_id, emoji) select $1, \'crowd-\' || n, \'👍\' from generate_series(1, 980) n',
    id
  )
  await refused(await alice.put(path('👍', id)), 409, 'too_many_reactions', news)
  await bob.delete(path(emoji[0]!, id))
  expect((await alice.put(path('👍', id))).status).toBe(204)
})

test('of the same reaction at the same time one counts, and events tell what happened', async () => {
  const { body: { id } } = await send(alice, conversation, 'race')
  const news = await follow(alice)
  await Promise.all(Array.from(
    { length: 30 }, (_, i) => i % 3 === 2 ? bob.delete(path('👍', id)) : bob.put(path('👍', id))
  ))
  let there = 0
  for (const { type } of await news()) {
    there += type === 'reaction_added' ? 1 : -1
    expect([0, 1]).toContain(there)
  }
  expect((await shown(alice)).length).toBe(there)
})

test('reactions that come in one moment keep the order of their events', async () => {
  const { body: { id } } = await send(alice, conversation, 'order')
  const news = await follow(alice)
  await Promise.all(['🟢', '🔵', '🟣', '🟤', '🔴'].flatMap(emoji =>
    [alice, bob].map(caller => caller.put(path(emoji, id)))))
  expect(await shown(bob)).toEqual((await news()).map(event => [event.user_id, event.emoji]))
})

test('reactions of a blocked user are seen by themselves only, for good; in groups by every participant', async () => {
  const [eve, frank] = [await api.user('eve'), await api.user('frank')]
  const both = await direct(eve, frank)
  const { body: { id } } = await send(frank, both, 'hi')
  await eve.put(path('🎉', id))
  await sql('insert into blocks (blocker_user_id, blocked_user_id) values ($1, $2)', frank.id, eve.id)
  const [eveNews, frankNews] = [await follow(eve), await follow(frank)]
  expect((await eve.put(path('👎', id))).status).toBe(204)
  expect([(await eveNews()).map(event => event.emoji), await frankNews()]).toEqual([['👎'], []])
  expect([await shown(eve, both), await shown(frank, both)]).toEqual([
    [[eve.id, '🎉'], [eve.id, '👎']], [[eve.id, '🎉']]
  ])
  expect((await frank.get('/conversations')).body.conversations[0].last_message.reactions).toHaveLength(1)

  await sql('delete from blocks where blocker_user_id = $1', frank.id)
  await eve.put(path('👎', id))
  const { body: edited } = await frank.patch(`/messages/${id}`, { content: 'hello' })
  expect([await frankNews(), edited.reactions]).toEqual([
    [{ type: 'message_edited', message: edited }], [{ user_id: eve.id, emoji: '🎉' }]
  ])
  expect(await eveNews()).toMatchObject([
    { type: 'message_edited', message: { reactions: [{ emoji: '🎉' }, { emoji: '👎' }] } }
  ])
  for (const emoji of ['🎉', '👎']) await eve.delete(path(emoji, id))
  expect((await frankNews()).map(event => [event.type, event.emoji])).toEqual([['reaction_removed', '🎉']])

  const many = await group(eve, frank)
  const { body: sent } = await send(frank, many, 'hi all')
  await sql('insert into blocks (blocker_user_id, blocked_user_id) values ($1, $2)', frank.id, eve.id)
  await eve.put(path('👎', sent.id))
  expect(await shown(frank, many)).toEqual([[eve.id, '👎']])
})
