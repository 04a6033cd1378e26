/** Pages of other origins: what a browser asks before it lets their scripts use the API. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { form, fileHead, FORM_END, FORM_TYPE, PNG } from '../attachments/uploads.ts'
import { openEvents } from '../../support/event-stream.ts'
import { type Caller, startTestApi, type TestApi } from '../api.ts'

const APP = 'https://app.example.com'
const PHONE = 'capacitor://localhost'
const UNKNOWN = '01980f5c-6f1e-7cc3-98a4-1d2b3c4d5e6f'
const ELSEWHERE = 'https://elsewhere.example.com'

let api: TestApi
let alice: Caller

beforeAll(async () => {
  api = await startTestApi({ corsOrigins: [APP, PHONE] })
  alice = await api.user('alice')
})
afterAll(() => api[Symbol.asyncDispose]())

const preflight = (
  server: TestApi, path: string, origin: string, method = 'PATCH', headers = 'authorization,content-type'
): Promise<Response> =>
  fetch(server.url + path, {
    method: 'OPTIONS',
    headers: {
      origin, 'access-control-request-method': method, 'access-control-request-headers': headers
    }
  })

const allowedOrigin = ({ headers }: { headers: Headers }): string | null =>
  headers.get('access-control-allow-origin')

test.each([APP, PHONE])('a preflight of %s is answered without a token, for every method and header', async origin => {
  const asked = 'authorization,content-type,idempotency-key,x-device-id,last-event-id,traceparent'
  for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']) {
    const answer = await preflight(api, `/api/v1/messages/${UNKNOWN}`, origin, method, asked)
    expect([answer.status, allowedOrigin(answer)]).toEqual([204, origin])
    expect(answer.headers.get('access-control-allow-methods')?.split(', ')).toContain(method)
    expect(answer.headers.get('access-control-allow-headers')).toBe(asked)
    expect(answer.headers.get('vary')).toContain('Origin')
    expect(Number(answer.headers.get('access-control-max-age'))).toBeGreaterThan(0)
  }
})

test('a page reads answers and problems alike, with the headers that it needs, and sends no cookies', async () => {
  for (const [path, status] of [['/users/me', 200], ['/users/nobody', 404], ['/nowhere', 404]] as const) {
    const answer = await alice.request('GET', path, undefined, { headers: { origin: APP } })
    expect([answer.status, allowedOrigin(answer)], path).toEqual([status, APP])
    const exposed = answer.headers.get('access-control-expose-headers')?.toLowerCase().split(', ')
    expect(exposed, path).toEqual(expect.arrayContaining([
      'x-request-id', 'retry-after', 'location', 'etag', 'content-range', 'content-disposition', 'www-authenticate'
    ]))
    expect(answer.headers.get('access-control-allow-credentials')).toBeNull()
  }
  const refused = await api.anonymous().request('GET', '/users/me', undefined, { headers: { origin: APP } })
  expect([refused.status, allowedOrigin(refused)]).toEqual([401, APP])
})

test('a page uploads files, loads ranges of them and follows events', async () => {
  const uploaded = await alice.request('POST', '/attachments', undefined, {
    raw: form(fileHead(), PNG, FORM_END), headers: { origin: APP, 'content-type': FORM_TYPE }
  })
  expect([uploaded.status, allowedOrigin(uploaded)]).toEqual([201, APP])
  const part = await alice.request('GET', `/attachments/${uploaded.body.id}`, undefined, {
    headers: { origin: APP, range: 'bytes=0-3' }
  })
  expect([part.status, allowedOrigin(part)]).toEqual([206, APP])
  using events = await openEvents(`${api.url}/api/v1`, alice.token, { headers: { origin: APP } })
  expect([events.status, events.headers['access-control-allow-origin']]).toEqual([200, APP])
})

test('another page is allowed nothing, and no page is allowed what is outside of the API', async () => {
  expect(allowedOrigin(await preflight(api, '/api/v1/users/me', ELSEWHERE))).toBeNull()
  const answer = await alice.request('GET', '/users/me', undefined, { headers: { origin: ELSEWHERE } })
  expect([answer.status, allowedOrigin(answer)]).toEqual([200, null])
  for (const path of ['//metrics', '//health', '//ready', '//docs/json']) {
    const open = await api.anonymous().request('GET', path, undefined, { headers: { origin: APP } })
    expect([open.status, allowedOrigin(open)], path).toEqual([200, null])
    const asked = await preflight(api, path.slice(1), APP, 'POST')
    expect([asked.status, allowedOrigin(asked)], path).toEqual([405, null])
  }
})

test('* allows every page', async () => {
  await using open = await startTestApi({ corsOrigins: ['*'] })
  const answer = await preflight(open, '/api/v1/messages', ELSEWHERE, 'POST')
  expect([answer.status, allowedOrigin(answer)]).toEqual([204, '*'])
  expect(answer.headers.get('access-control-allow-credentials')).toBeNull()
})

test.each([{}, { corsOrigins: [] }])('with %j no answer has a word of other origins', async ({ corsOrigins }) => {
  await using closed = await startTestApi({ corsOrigins })
  const answers = [
    await preflight(closed, '/api/v1/messages', APP),
    await (await closed.user('alice')).request('GET', '/users/me', undefined, { headers: { origin: APP } })
  ]
  expect(answers.map(({ status }) => status)).toEqual([405, 200])
  for (const { headers } of answers) {
    expect([...headers.keys()].filter(name => /^(access-control-|vary$)/.test(name))).toEqual([])
  }
})
