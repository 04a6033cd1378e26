/** Query parameters: a mistake in one is told, and never another question answered. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { fileHead, form, FORM_END, FORM_TYPE, PNG } from '../attachments/uploads.ts'
import { type Caller, direct, send, startTestApi, type TestApi } from '../api.ts'

let api: TestApi
let alice: Caller
let pair: string

beforeAll(async () => {
  api = await startTestApi()
  alice = await api.user('alice')
  pair = await direct(alice, await api.user('bob'))
  await send(alice, pair, 'one')
  await send(alice, pair, 'two')
})
afterAll(() => api[Symbol.asyncDispose]())

test.each([
  ['cursor=abc', 'querystring has unknown fields: cursor'],
  ['limit=1&befor_id=x&page=2', 'querystring has unknown fields: befor_id, page'],
  ['limit=1.5', 'querystring.limit must be integer'],
  ['limit=1.0', 'querystring.limit must be integer'],
  ['limit=true', 'querystring.limit must be integer'],
  ['limit=1e1', 'querystring.limit must be integer'],
  ['limit=0x10', 'querystring.limit must be integer'],
  ['limit=%201', 'querystring.limit must be integer'],
  ['limit=', 'querystring.limit must be integer'],
  ['limit', 'querystring.limit must be integer'],
  ['limit=1&limit=2', 'querystring.limit must be integer'],
  ['limit=-1', 'querystring.limit must be >= 1'],
  ['limit=201', 'querystring.limit must be <= 200'],
  ['limit=99999999999999999999', 'querystring.limit must be'],
  ['before_id=abc', 'querystring.before_id must match format "uuid"']
])('?%s is refused', async (query, detail) => {
  const { status, body } = await alice.get(`/conversations/${pair}/messages?${query}`)
  expect([status, body.code]).toEqual([400, 'invalid_request'])
  expect(body.detail).toContain(detail)
})

test('a number in digits is a number', async () => {
  for (const query of ['limit=1', 'limit=01']) {
    const { body } = await alice.get(`/conversations/${pair}/messages?${query}`)
    expect([body.messages.length, body.has_more], query).toEqual([1, true])
  }
  expect((await alice.get('/inbox?after=9007199254740991')).status).toBe(410)
  expect((await alice.get('/inbox?after=9007199254740992')).status).toBe(400)
})

test('an upload takes no parameter, and reads its form all the same', async () => {
  const upload = (path: string) => alice.request('POST', path, undefined, {
    raw: form(fileHead(), PNG, FORM_END), headers: { 'content-type': FORM_TYPE }
  })
  expect((await upload('/attachments')).status).toBe(201)
  expect((await upload('/attachments?name=x')).body.detail).toBe('querystring has unknown fields: name')
})

test('monitors may ask /health and /ready with what they like', async () => {
  for (const path of ['//health?t=1', '//ready?t=1']) {
    expect((await api.anonymous().get(path)).status, path).toBe(200)
  }
})
