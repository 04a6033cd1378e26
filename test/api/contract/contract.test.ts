import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestApi, type TestApi } from '../api.ts'

let api: TestApi

beforeAll(async () => { api = await startTestApi() })
afterAll(() => api[Symbol.asyncDispose]())

const PROBLEM = {
  type: 'about:blank',
  title: 'Not Found',
  status: 404,
  code: 'user_not_found',
  detail: 'there is no such user'
}

const judge = (status: number, body: unknown, {
  method = 'GET', path = '/api/v1/users/alice',
  mediaType = status < 400 ? 'application/json' : 'application/problem+json'
} = {}) =>
  () => api.contract.judge({ method, path, status, mediaType, body })

test('an answer of the document passes', () => {
  expect(judge(200, { id: 'alice', name: null, avatar: null })).not.toThrow()
  expect(judge(404, PROBLEM)).not.toThrow()
  expect(judge(204, undefined, { method: 'DELETE', path: '/api/v1/devices/phone' })).not.toThrow()
  expect(judge(404, { ...PROBLEM, code: 'route_not_found' }, { path: '/nowhere' })).not.toThrow()
})

test('an answer that the document does not know is found out', () => {
  for (const [name, judged, complaint] of [
    ['another status', judge(201, {}), /documents no 201/],
    ['another media type', judge(200, 'x', { mediaType: 'text/html' }), /is text\/html/],
    ['a field too many', judge(
      200, { id: 'alice', name: null, avatar: null, secret: 1 }
    ), /additionalProperties/],
    ['a field too many in a problem', judge(404, { ...PROBLEM, stack: '' }), /additionalProperties/],
    ['a field too few', judge(200, { id: 'alice' }), /required/],
    ['a code of another operation', judge(404, { ...PROBLEM, code: 'message_not_found' }), /enum/],
    ['a body where there is none', judge(
      204, {}, { method: 'DELETE', path: '/api/v1/devices/phone' }
    ), /has a body/],
    ['an operation that is not there', judge(200, {}, { path: '/api/v1/nowhere' }), /no operation/]
  ] as const) expect(judged, name).toThrow(complaint)
})

test('a fixed path is not taken for one with a parameter', () => {
  expect(judge(404, PROBLEM, { path: '/api/v1/users/me' })).toThrow(/GET \/users\/me documents no 404/)
})
