/** How many requests are answered per second: per user, per address, and over several apis. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { setTimeout as sleep } from 'node:timers/promises'
import { startTestRedis, type TestRedis } from '../../support/cluster.ts'
import { scratchFolder } from '../../support/echo-process.ts'
import { until } from '../../support/until.ts'
import { direct, send, startTestApi, type Answer, type Caller, type TestApi } from '../api.ts'

const times = (n: number, ask: () => Promise<Answer>): Promise<Answer[]> =>
  Promise.all(Array.from({ length: n }, ask))
const refused = (answers: Answer[]): Answer[] => answers.filter(answer => answer.status === 429)

describe('in memory', () => {
  let api: TestApi
  beforeAll(async () => {
    api = await startTestApi({
      rateLimits: { requests: 20, sends: 5, windowMs: 60_000 }, trustProxy: true
    })
  })
  afterAll(() => api[Symbol.asyncDispose]())

  test('what one user asks beyond the limit is refused with a problem, and no other user is', async () => {
    const [alice, bob] = [await api.user('alice'), await api.user('bob')]
    const answers = await times(30, () => alice.get('/users/me'))
    expect(refused(answers).length).toBe(10)
    const [{ headers, body, status }] = refused(answers) as [Answer]
    expect(headers.get('content-type')).toContain('application/problem+json')
    expect({ ...body, detail: '' }).toEqual({
      type: 'about:blank', title: 'Too Many Requests', status, code: 'rate_limited', detail: ''
    })
    expect([
      headers.get('x-ratelimit-limit'), headers.get('x-ratelimit-remaining'), headers.get('x-ratelimit-reset')
    ]).toEqual(['20', '0', headers.get('retry-after')])
    expect(headers.get('retry-after')).toMatch(/^([1-9]|[1-5]\d|60)$/)
    expect((await bob.get('/users/me')).status).toBe(200)
  })

  test('messages have a limit of their own, and what is refused is not stored', async () => {
    const [dave, erin] = [await api.user('dave'), await api.user('erin')]
    const conversation = await direct(dave, erin)
    const answers = await times(8, () => send(dave, conversation, 'quick'))
    expect(answers.map(answer => answer.status).sort()).toEqual([201, 201, 201, 201, 201, 429, 429, 429])
    expect(refused(answers)[0]!.headers.get('x-ratelimit-limit')).toBe('5')
    expect((await dave.get(`/conversations/${conversation}/messages`)).body.messages).toHaveLength(5)
  })

  const ask = (path: string, address: string): Promise<Answer> =>
    api.anonymous('nobody').request('GET', path, undefined, { headers: { 'x-forwarded-for': address } })

  test('an address is counted before its token is looked at, and other addresses are not', async () => {
    const answers = await times(320, () => ask('/users/me', '203.0.113.7'))
    expect(answers.filter(answer => answer.status === 401).length).toBe(300)
    expect(refused(answers)[0]!.body.code).toBe('rate_limited')
    expect((await ask('/users/me', '203.0.113.8')).status).toBe(401)
  })

  test('of IPv6 a whole /64 is one address, and a mapped one is the IPv4 it is', async () => {
    let n = 0
    const answers = await times(320, () => ask('/nowhere', `2001:db8:1:2::${(++n).toString(16)}`))
    expect(refused(answers).length).toBe(20)
    expect((await ask('/nowhere', '2001:db8:1:3::1')).status).toBe(404)
    await times(300, () => ask('/nowhere', '198.51.100.1'))
    expect((await ask('/nowhere', '::ffff:198.51.100.1')).status).toBe(429)
  })

  test('loopback has no limit per address, and health, readiness and metrics have none at all', async () => {
    for (const [path, address, status] of [
      ['/nowhere', '127.0.0.1', 404], ['//health', '203.0.113.9', 200], ['//ready', '203.0.113.9', 200]
    ] as const) {
      const answers = await times(330, () => ask(path, address))
      expect(new Set(answers.map(answer => answer.status)), path).toEqual(new Set([status]))
    }
  })
})

test('who waits for Retry-After is answered', async () => {
  await using api = await startTestApi({ rateLimits: { requests: 20, sends: 5 } })
  const [carol, dave] = [await api.user('carol'), await api.user('dave')]
  const conversation = await direct(carol, dave)
  const [first] = await until(
    async () => refused(await times(25, () => send(carol, conversation, 'quick'))), 'it is refused'
  )
  await sleep(Number(first!.headers.get('retry-after')) * 1_000)
  const again = await send(carol, conversation, 'later')
  expect([
    again.status, again.headers.get('x-ratelimit-limit'), again.headers.get('x-ratelimit-remaining')
  ]).toEqual([201, '5', '4'])
})

test('0 is no limit', async () => {
  await using api = await startTestApi({ rateLimits: { requests: 0, sends: 0 }, trustProxy: true })
  const alice = await api.user('alice')
  const answers = await times(
    330, () => alice.request('GET', '/users/me', undefined, { headers: { 'x-forwarded-for': '203.0.113.7' } })
  )
  expect(new Set(answers.map(answer => answer.status))).toEqual(new Set([200]))
  expect(answers[0]!.headers.has('x-ratelimit-limit')).toBe(false)
})

const WINDOW_MS = 2_000

describe('in Redis', () => {
  let folder: Awaited<ReturnType<typeof scratchFolder>>
  let redis: TestRedis
  let one: TestApi
  let two: TestApi
  /** The same user at both: what they count is in Redis, not in the databases. */
  let callers: [Caller, Caller]

  beforeAll(async () => {
    folder = await scratchFolder()
    redis = await startTestRedis(folder.path)
    const rateLimits = { requests: 20, sends: 0, redisUrl: redis.url, windowMs: WINDOW_MS }
    ;[one, two] = [await startTestApi({ rateLimits }), await startTestApi({ rateLimits })]
    const alice = await one.user('alice')
    callers = [alice, two.anonymous(alice.token)]
    await limited()
  })
  afterAll(async () => {
    for (const opened of [one, two, redis, folder]) await opened[Symbol.asyncDispose]()
  })

  // Counts do not fail any more when the connection is up.
  const limited = (): Promise<unknown> => until(async () => {
    if ((await Promise.all(callers.map(caller => times(21, () => caller.get('/users/me'))))).some(answers =>
      refused(answers).length === 0)) return false
    await sleep(WINDOW_MS)
    return true
  }, 'requests are limited')

  const both = (n: number): Promise<Answer[]> => {
    let i = 0
    return times(n, () => callers[i++ % 2]!.get('/users/me'))
  }

  test('two apis share one limit', async () => {
    // A process that is late takes Redis for away, and limits nothing for a moment.
    await until(async () => {
      const answers = await both(30)
      await sleep(WINDOW_MS)
      return refused(answers).length === 10
    }, 'ten of thirty are refused')
  })

  test('a Redis that hangs is asked by the requests of that moment, and limits none until it goes on', async () => {
    const asked = async (): Promise<number> => Number(
      /cmdstat_evalsha:calls=(\d+)/.exec(String(await redis.ask('info', 'commandstats')))?.[1])
    const before = await asked()
    redis.pause()
    const answers: Answer[] = []
    for (let i = 0; i < 50; i++) answers.push(...await both(2))
    redis.resume()
    expect(refused(answers)).toEqual([])
    // By the first two, each of another api.
    await until(async () => await asked() > before, 'Redis has read on')
    expect(await asked() - before).toBeLessThanOrEqual(2)
    await limited()
  })

  test('a Redis that is killed in the middle lets requests go on unlimited, and limits again when it is back', async () => {
    const during = Array.from({ length: 20 }, async (_, i) => {
      if (i === 10) await redis.kill()
      return await both(20)
    })
    const statuses = new Set((await Promise.all(during)).flat().map(answer => answer.status))
    expect([...statuses].filter(status => status !== 200 && status !== 429)).toEqual([])
    expect(refused(await both(100))).toEqual([])
    await redis.start()
    await limited()
  })
})
