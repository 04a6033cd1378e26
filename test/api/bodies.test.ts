/** What no client sends in good faith, to every route that takes a body. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { gzipSync } from 'node:zlib'
import { type Answer, type Caller, startTestApi, type TestApi } from './api.ts'

let api: TestApi
let alice: Caller
let routes: Array<{ method: string, path: string }>

beforeAll(async () => {
  api = await startTestApi()
  alice = await api.user('alice')
  const { paths } = (await api.anonymous().get('//docs/json')).body
  routes = Object.entries<Record<string, { requestBody?: object }>>(
    paths
  ).flatMap(([path, methods]) => Object.keys(methods)
    .filter(method => methods[method]!.requestBody !== undefined)
    .map(method => ({
      method: method.toUpperCase(),
      path: path.replaceAll(/\{\w*user_id\}/g, 'bob')
        .replaceAll(/\{[^}]*\}/g, '01980f5c-6f1e-7cc3-98a4-1d2b3c4d5e6f')
    })))
})
afterAll(() => api[Symbol.asyncDispose]())

const LIMIT = 256 * 1024
const deep = (n: number, open: string, close: string): string => open.repeat(n) + close.repeat(n)
const many = JSON.stringify(Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`k${i}`, 0])))

async function toEveryRoute (
  raw: string | Buffer, headers: Record<string, string> = {}
): Promise<Array<{ route: string, answer: Answer }>> {
  expect(routes.length).toBeGreaterThan(9)
  const answers = []
  for (const { method, path } of routes) {
    const answer = await alice.request(method, path, undefined, {
      raw, headers: { 'content-type': 'application/json', 'x-device-id': 'phone', ...headers }
    })
    answers.push({ route: `${method} ${path}`, answer })
  }
  return answers
}

test('bodies nested as deeply as fits, of many fields, or that reach for the prototype are refused in a few words', async () => {
  for (const [name, raw] of [
    ['arrays', deep(LIMIT / 2 - 10, '[', ']')],
    ['objects', `{"content":${deep(LIMIT / 7, '{"a":', '}').replace('}', '0}')}}`],
    [
      'mentions',
      `{"conversation_id":"01980f5c-6f1e-7cc3-98a4-1d2b3c4d5e6f","content":"x","message_type":"text","mentions":${deep(LIMIT / 2 - 200, '[', ']')}}`
    ],
    ['fields', many],
    ['names', JSON.stringify({ ['n'.repeat(100_000)]: 0, ['m'.repeat(100_000)]: 0 })],
    ['a prototype', '{"__proto__":{"content":"x"},"constructor":{"prototype":{}}}']
  ] as const) {
    for (const { route, answer } of await toEveryRoute(raw)) {
      expect([400, 403, 404, 415], `${route} ${name} ${JSON.stringify(answer.body)}`).toContain(answer.status)
      expect(answer.body.detail.length, `${route} ${name}`).toBeLessThan(1_000)
    }
  }
  expect(api.logged).toEqual([])
})

test('compressed bodies are refused, whatever they unpack to', async () => {
  for (const coding of ['gzip', 'deflate', 'br', 'identity, gzip']) {
    for (const { route, answer } of await toEveryRoute(gzipSync('{}'), { 'content-encoding': coding })) {
      expect([answer.status, answer.body.code], `${route} ${coding}`).toEqual([415, 'unsupported_media_type'])
      expect(answer.headers.get('accept-encoding')).toBe('identity')
    }
  }
})

test('what is larger than 256 KB is refused', async () => {
  for (const { route, answer } of await toEveryRoute(`"${'x'.repeat(LIMIT)}"`)) {
    expect(
      [[413, 'body_too_large'], [415, 'unsupported_media_type'], [403, 'admin_required']], route
    ).toContainEqual([answer.status, answer.body.code])
  }
})
