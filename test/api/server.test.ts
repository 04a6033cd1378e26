import { afterAll, beforeAll, expect, test } from 'vitest'
import { Agent, get as httpGet, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import pino from 'pino'
import { startApi } from '../../api/server.ts'
import { until } from '../support/until.ts'
import { type Caller, direct, send, startTestApi, type TestApi } from './api.ts'

let api: TestApi
let alice: Caller

beforeAll(async () => {
  api = await startTestApi()
  alice = await api.user('alice')
})
afterAll(() => api[Symbol.asyncDispose]())

test('health and readiness need no token', async () => {
  expect((await api.anonymous().get('//health')).body).toEqual({ status: 'ok' })
  const ready = await api.anonymous().get('//ready')
  expect([ready.status, ready.body]).toEqual([200, { ready: true, dependencies: { database: { ok: true } } }])
})

test('a server that is not ready says which dependency is away', async () => {
  const state = { ready: false, dependencies: { database: { ok: false, detail: 'no connection' } } }
  await using other = await startTestApi({ ready: async () => state })
  const answer = await other.anonymous().get('//ready')
  expect([answer.status, answer.body]).toEqual([503, state])
})

test('what the framework refuses is a problem too', async () => {
  const json = { 'content-type': 'application/json' }
  for (const [name, answer, status, code] of [
    [
      'malformed JSON', await alice.request('POST', '/messages', undefined, { raw: '{"a":' }), 400,
      'malformed_json'
    ],
    ['JSON that is not UTF-8', await alice.request(
      'POST', '/messages', undefined, { raw: Buffer.from([0x22, 0xff, 0x22]), headers: json }
    ), 400, 'malformed_json'],
    [
      'no body', await alice.request('POST', '/messages', undefined, { headers: json }), 400,
      'invalid_request'
    ],
    ['a form', await alice.request('POST', '/messages', undefined, {
      raw: 'a=b', headers: { 'content-type': 'application/x-www-form-urlencoded' }
    }), 415, 'unsupported_media_type'],
    ['plain text', await alice.request(
      'POST', '/messages', undefined, { raw: '{}', headers: { 'content-type': 'text/plain' } }
    ), 415, 'unsupported_media_type'],
    ['a large body', await alice.request(
      'POST', '/messages', undefined, { raw: JSON.stringify({ content: 'x'.repeat(256 * 1024) }) }
    ), 413, 'body_too_large'],
    ['an unknown route', await alice.get('/nowhere'), 404, 'route_not_found'],
    ['an unknown route outside the API', await alice.get('//nowhere'), 404, 'route_not_found'],
    ['a method that is not there', await alice.put('/messages', {}), 405, 'method_not_allowed'],
    ['a malformed escape', await alice.get('/users/%zz'), 400, 'invalid_request'],
    ['an overlong parameter', await alice.get(`/users/${'x'.repeat(5_000)}`), 414, 'uri_too_long']
  ] as const) {
    expect([answer.status, answer.body.code], name).toEqual([status, code])
    expect(answer.body, name).toEqual({
      type: 'about:blank', title: expect.any(String), status, code, detail: expect.any(String)
    })
    expect(answer.headers.get('content-type'), name).toMatch(/^application\/problem\+json/)
  }
})

test('a request that is no HTTP is answered with a problem and closed', async () => {
  const socket = connect(Number(new URL(api.url).port), '127.0.0.1')
  socket.write('NONSENSE\r\n\r\n')
  const answer = await text(socket)
  expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/)
  expect(JSON.parse(answer.split('\r\n\r\n')[1]!)).toMatchObject({ status: 400, code: 'invalid_request' })
})

test('an unexpected error is logged and shows nothing of itself', async () => {
  await using other = await startTestApi({ ready: async () => { throw new Error('the secret reason') } })
  const answer = await other.anonymous().get('//ready')
  expect([answer.status, answer.body.code]).toEqual([500, 'internal'])
  expect(JSON.stringify(answer.body)).not.toContain('secret reason')
  expect(other.logged.join()).toContain('the secret reason')
})

test('a port in use is named together with its variable', async () => {
  const port = Number(new URL(api.url).port)
  const start = startApi({ host: '127.0.0.1', port }, {
    messaging: api.messaging,
    attachments: api.attachments,
    log: pino({ level: 'silent' }),
    ready: async () => ({ ready: true, dependencies: {} })
  })
  await expect(start).rejects.toThrow(new RegExp(`${port}.*HTTP_PORT.*in use`))
})

test('stopping ends long polls at once, finishes what runs and leaves no connection', async () => {
  await using other = await startTestApi()
  const [user, friend] = [await other.user('user'), await other.user('friend')]
  const waiting = await other.user('waiting')
  const conversation = await direct(user, friend)
  const agent = new Agent({ keepAlive: true })
  const unused = connect(Number(new URL(other.url).port), '127.0.0.1')
  await new Promise(resolve => unused.once('connect', resolve))
  unused.on('error', () => {})
  const poll = new Promise<IncomingMessage>((resolve, reject) => {
    httpGet(`${other.url}/api/v1/inbox?wait=30`, {
      agent, headers: { authorization: `Bearer ${waiting.token}` }
    }, resolve).on('error', reject)
  })
  await until(() => other.messaging.wakes.users().includes(waiting.id), 'the poll waits')

  const sends = Array.from({ length: 20 }, (_, i) =>
    send(user, conversation, `message ${i}`).then(answer => answer.status, () => 'refused'))
  await until(async () => (await friend.get('/inbox')).body.last_seq > 1, 'the first is stored')
  const startedAt = performance.now()
  await other.stop()
  expect(performance.now() - startedAt).toBeLessThan(20_000) // it would have waited for 30 s
  const answer = await poll
  expect([answer.statusCode, JSON.parse(await text(answer)).events]).toEqual([200, []])
  expect((await Promise.all(sends)).filter(status => status !== 'refused')).toContain(201)
  await expect(fetch(`${other.url}/health`)).rejects.toThrow()
  agent.destroy()
})
