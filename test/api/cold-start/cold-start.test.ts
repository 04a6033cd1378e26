/**
 * A new device of a user with 1,000 conversations: what it asks, and how many bytes it gets. They are the
 * same on every machine. `BYTES=1` prints them.
 */
import { request, type IncomingHttpHeaders } from 'node:http'
import { gunzipSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { createClient, createMemoryStore } from '../../../client/index.ts'
import { type ConversationView } from '../../../core/views.ts'
import { runSql } from '../../support/database.ts'
import { signToken } from '../../support/tokens.ts'
import { until } from '../../support/until.ts'
import { ISSUER, startTestApi, type TestApi } from '../api.ts'
import { CONVERSATIONS, fill, READER } from './fill.ts'

let api: TestApi
let token: string

beforeAll(async () => {
  api = await startTestApi()
  await fill(api.databaseUrl)
  token = await signToken(READER, { issuer: ISSUER })
}, 60_000)
afterAll(() => api[Symbol.asyncDispose]())

/** As it comes over the wire. */
const ask = (path: string): Promise<{ headers: IncomingHttpHeaders, body: Buffer }> =>
  new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${token}`, 'accept-encoding': 'gzip' }
    request(`${api.url}/api/v1${path}`, { headers }, answer => {
      const chunks: Buffer[] = []
      answer.on('data', chunk => chunks.push(chunk))
        .once('end', () => resolve({ headers: answer.headers, body: Buffer.concat(chunks) }))
        .once('error', reject)
    }).once('error', reject).end()
  })

test('1,000 conversations come in one answer of at most 205 KB', async () => {
  const { headers, body } = await ask('/conversations?limit=1000')
  const json = gunzipSync(body).toString()
  const { conversations, next_cursor } = JSON.parse(json)
  if (process.env.BYTES !== undefined) {
    console.log({ json: json.length, gzipped: body.length, floor: floorOf(conversations) })
  }
  expect([headers['content-encoding'], next_cursor]).toEqual(['gzip', null])
  expect(conversations).toHaveLength(CONVERSATIONS)
  expect(body.length).toBeLessThan(205_000)
  expect(conversations).toEqual(await inPagesOf(150))
})

async function inPagesOf (limit: number): Promise<ConversationView[]> {
  const all: ConversationView[] = []
  for (let cursor: string | null = ''; cursor !== null;) {
    const after: string = cursor === '' ? '' : `&cursor=${cursor}`
    const { body } = await ask(`/conversations?limit=${limit}${after}`)
    const page = JSON.parse(gunzipSync(body).toString())
    all.push(...page.conversations)
    cursor = page.next_cursor
  }
  return all
}

test('the client library begins with one request for all of them', async () => {
  const fetched = vi.spyOn(globalThis, 'fetch')
  await using client = createClient({
    userId: READER,
    deviceId: 'new',
    token: () => token,
    api: api.url,
    mqtt: 'mqtt://127.0.0.1:1', // where nobody listens: the list comes before the connection
    store: createMemoryStore()
  })
  await client.start()
  await until(() => client.model.ready, 'the snapshot is there')
  const asked = fetched.mock.calls.map(([url]) => String(url).replace(`${api.url}/api/v1`, ''))
  fetched.mockRestore()
  expect(asked.filter(path => path.startsWith('/conversations'))).toEqual(['/conversations?limit=1000'])
  expect(client.model.conversations()).toHaveLength(CONVERSATIONS)
})

test('an answer ends early when its conversations are large, and the next one goes on there', async () => {
  const before = (await inPagesOf(150)).map(({ id }) => id)
  await runSql(api.databaseUrl, "update messages set content = repeat('long ', 2000)")
  const { body } = await ask('/conversations?limit=1000')
  const page = JSON.parse(gunzipSync(body).toString())
  expect(page.conversations.length).toBeLessThan(CONVERSATIONS / 2)
  expect(page.next_cursor).not.toBeNull()
  expect((await inPagesOf(1_000)).map(({ id }) => id)).toEqual(before)
})

/**
 * What is left when all that could be guessed is gone: ids as their bytes, times as six, each once, and
 * texts, names and numbers by themselves, compressed as well as gzip can.
 */
function floorOf (list: ConversationView[]): Record<string, number> {
  const ids = new Set<string>()
  const times = new Set<string>()
  const texts: string[] = []
  const numbers: string[] = []
  const walk = (value: unknown): void => {
    if (typeof value === 'number') numbers.push(String(value))
    else if (typeof value === 'string') {
      if (/^[0-9a-f]{8}-/.test(value)) ids.add(value)
      else if (/^\d{4}-\d\d-\d\dT/.test(value)) times.add(value)
      else texts.push(value)
    } else if (value !== null && typeof value === 'object') Object.values(value).forEach(walk)
  }
  walk(list)
  const packed = (lines: string[]): number => gzipSync(lines.join('\n'), { level: 9 }).length
  return { ids: ids.size * 16, times: times.size * 6, texts: packed(texts), numbers: packed(numbers) }
}
