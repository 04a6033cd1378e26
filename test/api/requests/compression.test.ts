/** What goes out compressed, as it comes over the wire. */
import { request, type IncomingHttpHeaders } from 'node:http'
import { gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openEvents } from '../../support/event-stream.ts'
import { until } from '../../support/until.ts'
import { form, fileHead, FORM_END, FORM_TYPE } from '../attachments/uploads.ts'
import { type Caller, direct, send, startTestApi, type TestApi } from '../api.ts'

const PAGE = 'https://app.example.com'

let api: TestApi
let alice: Caller
let bob: Caller
let pair: string

beforeAll(async () => {
  api = await startTestApi({ corsOrigins: [PAGE] })
  alice = await api.user('alice')
  bob = await api.user('bob')
  pair = await direct(alice, bob)
  for (let i = 0; i < 30; i++) await send(alice, pair, `message ${i}`)
})
afterAll(() => api[Symbol.asyncDispose]())

interface Wire { status: number, headers: IncomingHttpHeaders, body: Buffer }

interface Asked { method?: string, body?: unknown }

const ask = (
  path: string, encodings: string | undefined, { method = 'GET', body }: Asked = {}
): Promise<Wire> => new Promise((resolve, reject) => {
  const asked = request(`${api.url}/api/v1${path}`, {
    method,
    headers: {
      authorization: `Bearer ${alice.token}`,
      ...(encodings === undefined ? {} : { 'accept-encoding': encodings }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' })
    }
  }, answer => {
    const chunks: Buffer[] = []
    answer.on('data', chunk => chunks.push(chunk)).once('error', reject)
      .once('end', () => resolve({
        status: answer.statusCode!, headers: answer.headers, body: Buffer.concat(chunks)
      }))
  }).once('error', reject)
  asked.end(body === undefined ? undefined : JSON.stringify(body))
})
/** What the answer depends on; the origin, here, in any case. */
const varyOf = ({ headers }: Wire): string[] => headers.vary!.toLowerCase().split(', ').sort()
const encodingOf = ({ headers }: Wire): string | undefined => headers['content-encoding']
const history = (): string => `/conversations/${pair}/messages`

test('a large answer is compressed for who takes gzip, and says the same to all', async () => {
  const plain = await ask(history(), undefined)
  expect([plain.status, encodingOf(plain), varyOf(plain)]).toEqual([
    200, undefined, ['accept-encoding', 'origin']
  ])
  for (const encodings of ['gzip', 'br, gzip;q=0.5', '*']) {
    const answer = await ask(history(), encodings)
    expect([encodingOf(answer), varyOf(answer)], encodings).toEqual(['gzip', ['accept-encoding', 'origin']])
    expect(Number(answer.headers['content-length'])).toBe(answer.body.length)
    expect(answer.body.length).toBeLessThan(plain.body.length / 4)
    expect(gunzipSync(answer.body).equals(plain.body)).toBe(true)
  }
  for (const encodings of ['identity', 'gzip;q=0', 'br, deflate', '']) {
    const answer = await ask(history(), encodings)
    expect([encodingOf(answer), answer.body.equals(plain.body)], encodings).toEqual([undefined, true])
  }
})

test('a small answer, a problem and the answer to a change go out as they are', async () => {
  const long = { conversation_id: pair, content: 'long '.repeat(2_000), message_type: 'text' }
  for (const answer of [
    await ask('/users/me', 'gzip'), await ask('/nowhere', 'gzip'), await ask(`${history()}?limit=1`, 'gzip'),
    await ask('/messages', 'gzip', { method: 'POST', body: long })
  ]) {
    expect([encodingOf(answer), varyOf(answer)]).toEqual([undefined, ['origin']])
    JSON.parse(answer.body.toString())
  }
})

test('HEAD has no body where GET has a compressed one', async () => {
  const [got, head] = [await ask(history(), 'gzip'), await ask(history(), 'gzip', { method: 'HEAD' })]
  expect([head.status, head.body.length]).toEqual([200, 0])
  expect(encodingOf(got)).toBe('gzip')
})

test('files and streams of events go out as they are, and a long poll answers with what came', async () => {
  const { body: file } = await alice.request('POST', '/attachments', undefined, {
    raw: form(fileHead('notes.txt'), Buffer.from('plain text '.repeat(2_000)), FORM_END),
    headers: { 'content-type': FORM_TYPE }
  })
  const download = await ask(`/attachments/${file.id}`, 'gzip')
  expect([encodingOf(download), download.body.length]).toEqual([undefined, file.size])

  using reader = await openEvents(`${api.url}/api/v1`, alice.token, {
    headers: { 'accept-encoding': 'gzip', 'last-event-id': '0' }
  })
  await until(() => reader.events().length > 30, 'the events came')
  expect(reader.headers['content-encoding']).toBeUndefined()

  const end = (await alice.get('/inbox?limit=1')).body.last_seq
  const [polled] = await Promise.all([
    ask(`/inbox?after=${end}&wait=20`, 'gzip'), send(bob, pair, 'long '.repeat(2_000))
  ])
  expect(encodingOf(polled)).toBe('gzip')
  expect(JSON.parse(gunzipSync(polled.body).toString()).events).toMatchObject([{ type: 'new_message' }])
})
