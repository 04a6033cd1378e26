import { afterAll, beforeAll, expect, test } from 'vitest'
import { blocks } from '../../../migrations/schema.ts'
import { saidToBeThere } from '../../support/connection.ts'
import { until } from '../../support/until.ts'
import { type Caller, direct, group, startTestApi, type TestApi } from '../api.ts'

let api: TestApi
let alice: Caller

beforeAll(async () => {
  api = await startTestApi()
  alice = await api.user('alice')
})
afterAll(() => api[Symbol.asyncDispose]())

test('one sees and changes the own name', async () => {
  expect((await alice.get('/users/me')).body).toEqual({ id: alice.id, name: null, avatar: null })
  const changed = await alice.put('/users/me', { name: '  Alice 😀 ' })
  expect([changed.status, changed.body]).toEqual([200, { id: alice.id, name: 'Alice 😀', avatar: null }])
  expect((await alice.get('/users/me')).body.name).toBe('Alice 😀')
})

test('a name that cannot be is refused', async () => {
  const { name } = (await alice.get('/users/me')).body
  for (const [body, code] of [
    [{ name: '' }, 'invalid_name'], [
      { name: '   ' }, 'invalid_name'
    ], [{ name: 'x'.repeat(201) }, 'invalid_name'], [{ name: 'a\0' }, 'invalid_text'],
    [{ name: 'A\u202egnp.b' }, 'invalid_text'], [{ name: 'A\u2066b' }, 'invalid_text'],
    [{ name: 'A\nb' }, 'invalid_text'],
    [{ name: '\udfff' }, 'invalid_text'], [
      { name: 5 }, 'invalid_request'
    ], [{}, 'invalid_request'], [{ name: 'A', id: 'bob' }, 'invalid_request']
  ] as const) {
    const answer = await alice.put('/users/me', body)
    expect([answer.status, answer.body.code], JSON.stringify(body)).toEqual([400, code])
  }
  expect((await alice.get('/users/me')).body.name).toBe(name)
})

test('a user sees the names of those they share a conversation with', async () => {
  const bob = await api.user('bob', { claims: { name: 'Bob' } })
  await bob.get('/users/me')
  await direct(alice, bob)
  expect((await alice.get(`/users/${bob.id}`)).body).toEqual({ id: bob.id, name: 'Bob', avatar: null })
})

test('a stranger, a former fellow and a user who does not exist look the same', async () => {
  const [stranger, former] = [await api.user('stranger'), await api.user('former')]
  await stranger.get('/users/me')
  const id = await group(alice, former)
  expect((await alice.get(`/users/${former.id}`)).status).toBe(200)
  await former.delete(`/conversations/${id}/participants/${former.id}`)
  for (const other of [stranger.id, former.id, 'nobody']) {
    const answer = await alice.get(`/users/${other}`)
    expect([answer.status, answer.body.code], other).toEqual([404, 'user_not_found'])
  }
})

test('a user id outside the alphabet is refused', async () => {
  for (const id of ['a%00b', 'a%20b', 'x'.repeat(65)]) {
    const answer = await alice.get(`/users/${id}`)
    expect([answer.status, answer.body.code], id).toEqual([400, 'invalid_request'])
  }
})

test('presence is visible to people of a direct conversation, and to oneself', async () => {
  const bob = await api.user('bob')
  await direct(alice, bob)
  expect((await alice.get(`/users/${bob.id}/presence`)).body).toEqual({
    user_id: bob.id, online: false, last_seen_at: null
  })
  const leave = api.messaging.connections.add(saidToBeThere(bob.id))
  for (const caller of [alice, bob]) {
    expect(
      (await caller.get(`/users/${bob.id}/presence`)).body
    ).toMatchObject({ user_id: bob.id, online: true })
  }
  const leftAt = Date.now()
  leave()
  const seen = await until(async () =>
    (await alice.get(`/users/${bob.id}/presence`)).body.last_seen_at, 'it is stored when bob was last seen')
  expect(Date.parse(seen)).toBeGreaterThanOrEqual(leftAt)
  expect(Date.parse(seen)).toBeLessThanOrEqual(Date.now())
})

test('presence of fellows of a group, strangers and users who do not exist is unknown', async () => {
  const [fellow, stranger] = [await api.user('fellow'), await api.user('stranger')]
  await stranger.get('/users/me')
  await group(alice, fellow)
  for (const other of [fellow.id, stranger.id, 'nobody']) {
    const answer = await alice.get(`/users/${other}/presence`)
    expect([answer.status, answer.body.code], other).toEqual([404, 'user_not_found'])
  }
})

test('two users look as if they were never there when one has blocked the other', async () => {
  const bob = await api.user('bob')
  await direct(alice, bob)
  await api.messaging.database.autocommit.orm.insert(blocks)
    .values({ blocker_user_id: bob.id, blocked_user_id: alice.id })
  for (const [caller, other] of [[alice, bob], [bob, alice]] as const) {
    api.messaging.connections.add(saidToBeThere(other.id))
    const { status, body } = await caller.get(`/users/${other.id}/presence`)
    expect([status, body]).toEqual([200, { user_id: other.id, online: false, last_seen_at: null }])
  }
})
