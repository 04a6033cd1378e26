/** What is answered where no route takes a request. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { request } from 'node:http'
import { once } from 'node:events'
import { type Caller, startTestApi, type TestApi } from '../api.ts'

const ID = '01980f5c-6f1e-7cc3-98a4-1d2b3c4d5e6f'

let api: TestApi
let alice: Caller

beforeAll(async () => {
  api = await startTestApi()
  alice = await api.user('alice')
})
afterAll(() => api[Symbol.asyncDispose]())

test.each([
  ['GET', '/messages', 'POST'],
  ['PUT', '/messages?x=1', 'POST'],
  ['OPTIONS', '/messages', 'POST'],
  ['POST', '/conversations/' + ID, 'GET, HEAD, PATCH'],
  ['PUT', '/messages/' + ID, 'DELETE, GET, HEAD, PATCH'],
  ['POST', '/users/me', 'GET, HEAD, PUT'],
  ['DELETE', '/users/auth0%7C7/presence', 'GET, HEAD'],
  ['PATCH', '/blocks/ann@example.com', 'DELETE, PUT'],
  ['GET', `/conversations/${ID}/participants/bob`, 'DELETE, PATCH'],
  ['GET', '/admin/users/bob/revoke', 'POST'],
  ['POST', '//health', 'GET, HEAD'],
  ['POST', '//docs/static/none', 'GET, HEAD']
])('%s on %s is 405, and Allow says what the path takes', async (method, path, allow) => {
  const { status, headers, body } = await alice.request(method, path)
  expect([status, body.code, headers.get('allow')]).toEqual([405, 'method_not_allowed', allow])
  expect(headers.get('content-type')).toMatch(/^application\/problem\+json/)
  expect(headers.get('x-request-id')).toBeTruthy()
})

test('a method that HTTP has and Echo has not is 405 too', async () => {
  const asked = request(`${api.url}/api/v1/users/me`, { method: 'PROPFIND' }).end()
  const [answer] = await once(asked, 'response')
  answer.resume()
  expect([answer.statusCode, answer.headers.allow]).toEqual([405, 'GET, HEAD, PUT'])
})

test.each([
  '/nowhere', '/message', '/users/a/b/c', '//nowhere', '//api/v1', '//Health'
])('%s is 404 for every method', async path => {
  for (const method of ['GET', 'POST', 'DELETE']) {
    const { status, body, headers } = await alice.request(method, path)
    expect([status, body.code, headers.get('allow')], method).toEqual([404, 'route_not_found', null])
  }
})
