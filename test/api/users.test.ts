import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Caller, direct, group, startTestApi, type TestApi } from './api.ts'

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
    [{ name: '' }, 'invalid_name'], [{ name: '   ' }, 'invalid_name'], [{ name: 'x'.repeat(201) }, 'invalid_name'], [{ name: 'a\0' }, 'invalid_text'],
    [{ name: '\udfff' }, 'invalid_text'], [{ name: 5 }, 'invalid_request'], [{}, 'invalid_request'], [{ name: 'A', id: 'bob' }, 'invalid_request']
  ] as const) {
    const answer = await alice.put('/users/me', body)
    expect([answer.status, answer.body.code], JSON.stringify(body)).toEqual([400, code])
  }
  expect((await alice.get('/users/me')).body.name).toBe(name)
})

test('the name of somebody one shares a conversation with is visible', async () => {
  const bob = await api.user('bob', { claims: { name: 'Bob' } })
  await bob.get('/users/me')
  await direct(alice, bob)
  expect((await alice.get(`/users/${bob.id}`)).body).toEqual({ id: bob.id, name: 'Bob' })
})

test('a stranger, a former fellow and somebody who does not exist look the same', async () => {
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
