/** What one user may have done in an hour. */
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import pino from 'pino'
import { type Charge } from '../../../api/limits/allowances.ts'
import { createMemoryCharge } from '../../../api/limits/counts-memory.ts'
import { startRedisCounts } from '../../../api/limits/counts-redis.ts'
import { Opened } from '../../../lifecycle.ts'
import { startTestRedis, type TestRedis } from '../../support/cluster.ts'
import { scratchFolder } from '../../support/echo-process.ts'
import { until } from '../../support/until.ts'
import { beginUpload, FORM_END, fileHead, form, PNG, upload } from '../attachments/uploads.ts'
import { type Answer, type Caller, group, startTestApi, type TestApi } from '../api.ts'

const HOUR_MS = 3_600_000
const rateLimits = { requests: 100_000, sends: 0 }
const strangers = (n: number, from = 0): string[] => Array.from({ length: n }, (_, i) => `s-${from + i}`)
const opened = new Opened()
let api: TestApi
let redis: TestRedis

beforeAll(async () => {
  api = await opened.add(startTestApi({ rateLimits }))
  const folder = await opened.add(scratchFolder())
  redis = await opened.add(startTestRedis(folder.path))
})
afterAll(() => opened[Symbol.asyncDispose]())

/** Asks until it is refused; how many times it was not, and the refusal. */
async function untilRefused (
  ask: (n: number) => Promise<Answer>
): Promise<{ done: number, refusal: Answer }> {
  for (let done = 0; ; done++) {
    const refusal = await ask(done)
    if (refusal.status === 429) return { done, refusal }
    expect(refusal.status).toBeLessThan(300)
  }
}

function expectRefusal ({ headers, body }: Answer): void {
  expect(body).toMatchObject({ status: 429, code: 'rate_limited' })
  expect(headers.get('content-type')).toContain('application/problem+json')
  expect(Number(headers.get('retry-after'))).toBeGreaterThan(0)
  expect(Number(headers.get('retry-after'))).toBeLessThanOrEqual(3_600)
}

test('conversations that a user creates are counted by their participants, and no other user is refused', async () => {
  const [ann, bob] = [await api.user('ann'), await api.user('bob')]
  const large = (caller: Caller) => (): Promise<Answer> =>
    caller.post('/conversations', { type: 'group', participant_ids: strangers(999) })
  const { done, refusal } = await untilRefused(large(ann))
  expect(done).toBe(19)
  expectRefusal(refusal)
  expect((await ann.post('/conversations', { type: 'direct', participant_ids: ['s-1'] })).status).toBe(201)
  expect((await large(bob)()).status).toBe(201)
})

test('participants that a user adds are counted by those who are told', async () => {
  const cem = await api.user('cem')
  const small = await group(cem)
  for (let i = 0; i < 20; i++) {
    expect((await cem.post(`/conversations/${small}/participants`, { user_id: `s-${i}` })).status).toBe(200)
  }
  const { body: { id } } =
    await cem.post('/conversations', { type: 'group', participant_ids: strangers(960) })
  const { done, refusal } =
    await untilRefused(n => cem.post(`/conversations/${id}/participants`, { user_id: `s-${1_000 + n}` }))
  expect(done).toBeLessThan(20)
  expectRefusal(refusal)
  expect((await cem.get(`/conversations/${id}`)).body.participant_count).toBe(961 + done)
})

test('titles are counted by those who are told, names by their conversations, and both together', async () => {
  const dee = await api.user('dee')
  const { body: { id } } =
    await dee.post('/conversations', { type: 'group', participant_ids: strangers(899) })
  const { done, refusal } = await untilRefused(n => dee.patch(`/conversations/${id}`, { title: `${n}` }))
  expect(done).toBe(20)
  expectRefusal(refusal)
  expectRefusal(await dee.put('/users/me', { name: 'Dee' }))
  expect((await dee.patch(`/conversations/${id}`, { muted_until: null })).status).toBe(200)
  const eva = await api.user('eva')
  const names = await untilRefused(n => eva.put('/users/me', { name: `Eva ${n}` }))
  expect(names.done).toBeGreaterThanOrEqual(200)
  expect(names.done).toBeLessThan(220)
})

test('a stranger learns nothing of how large a group is by changing its title', async () => {
  const [fay, gil] = [await api.user('fay'), await api.user('gil')]
  const { body: { id } } =
    await fay.post('/conversations', { type: 'group', participant_ids: strangers(999) })
  for (let i = 0; i < 30; i++) {
    expect((await gil.patch(`/conversations/${id}`, { title: 'mine' })).status).toBe(404)
  }
  expect((await gil.put('/users/me', { name: 'Gil' })).status).toBe(200)
})

test('uploads are counted by the length they announce, and one that announces none as the largest', async () => {
  const hal = await api.user('hal')
  const statuses: number[] = []
  for (let n = 0; n < 45 && statuses.at(-1) !== 429; n++) {
    const { request, answer } = beginUpload(api, hal)
    request.end(form(fileHead(), PNG, FORM_END))
    statuses.push((await answer).status)
  }
  expect(statuses).toEqual([...Array(40).fill(201), 429])
  expect((await upload(hal, PNG)).status).toBe(201)
})

test('RATE_LIMIT_REQUESTS of 0 is no limit in an hour either', async () => {
  await using free = await startTestApi({ rateLimits: { requests: 0, sends: 0 } })
  const ida = await free.user('ida')
  for (let n = 0; n < 220; n++) expect((await ida.put('/users/me', { name: `Ida ${n}` })).status).toBe(200)
})

const charges = async (kind: 'memory' | 'Redis'): Promise<AsyncDisposable & { charge: Charge }> => {
  if (kind === 'memory') return { charge: createMemoryCharge(10), async [Symbol.asyncDispose] () {} }
  const counts = startRedisCounts(redis.url, pino({ level: 'silent' }))
  await until(() => counts.charge('ready', 1, 1_000).then(() => true, () => false), 'Redis answers')
  return { charge: counts.charge, async [Symbol.asyncDispose] () { counts[Symbol.dispose]() } }
}

test.each(['memory', 'Redis'] as const)('an allowance in %s refuses what is too much, counts none of it, and fills up again', async kind => {
  await using counting = await charges(kind)
  const { charge } = counting
  expect([await charge('kim', 40_000, 100_000), await charge('kim', 50_000, 100_000)]).toEqual([0, 0])
  const lateMs = await charge('kim', 60_000, 100_000)
  expect(lateMs).toBeGreaterThan(0)
  expect(lateMs).toBeLessThanOrEqual(50_000)
  expect(await charge('kim', 5_000, 100_000)).toBe(0)
  expect(await charge('lea', 1_000, 1_000)).toBe(0)
  await until(async () => await charge('lea', 600, 1_000) === 0, 'there is enough again')
})

test('the whole of an allowance may be spent at once, however long the process has run', async () => {
  const clock = vi.spyOn(performance, 'now')
  try {
    const charge = createMemoryCharge(100)
    for (let n = 0; n < 20; n++) {
      clock.mockReturnValue(HOUR_MS + n / 7)
      expect(await charge(`${n}`, HOUR_MS, HOUR_MS)).toBe(0)
    }
  } finally {
    clock.mockRestore()
  }
})

test('apis share allowances in Redis, and a Redis that hangs refuses nobody', async () => {
  const limits = { ...rateLimits, redisUrl: redis.url }
  await using one = await startTestApi({ rateLimits: limits })
  await using two = await startTestApi({ rateLimits: limits })
  const max = await one.user('max')
  const both = [max, two.anonymous(max.token)]
  let refused = 0
  for (let n = 0; n < 450 && refused === 0; n++) {
    if ((await both[n % 2]!.put('/users/me', { name: `Max ${n}` })).status === 429) refused = n
  }
  expect(refused).toBeGreaterThanOrEqual(200)
  expect(refused).toBeLessThan(400) // each api alone would have refused later
  redis.pause()
  try {
    for (const caller of both) expect((await caller.put('/users/me', { name: 'hung' })).status).toBe(200)
  } finally {
    redis.resume()
  }
})
