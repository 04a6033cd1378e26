import { afterAll, beforeAll, expect, test } from 'vitest'
import { sql } from 'drizzle-orm'
import { saidToBeThere } from '../../../support/connection.ts'
import { type Caller, direct, send, startTestApi, type TestApi } from '../../api.ts'

let api: TestApi
let root: Caller

beforeAll(async () => {
  api = await startTestApi()
  root = await api.user('root', { claims: { scope: 'admin' } })
})
afterAll(() => api[Symbol.asyncDispose]())

const statistics = async (): Promise<any> => (await root.get('/admin/statistics')).body
const run = (text: string): Promise<unknown> => api.messaging.database.autocommit.orm.execute(sql.raw(text))

test('small tables are counted, and who is there is said per node', async () => {
  const [alice, bob] = [await api.user('alice'), await api.user('bob')]
  const empty = await root.get('/admin/statistics')
  expect([empty.status, empty.body]).toEqual([200, {
    users: { count: 1, exact: true },
    conversations: { count: 0, exact: true },
    messages: { count: 0, exact: true },
    inbox_events: { count: 0, exact: true },
    push: { due: { count: 0, exact: true }, oldest_due_seconds: null },
    database_bytes: expect.any(Number),
    online: {
      users: 0,
      connections: 0,
      tracked_sessions: 0,
      nodes: [{ node: 'alone', users: 0, connections: 0, tracked_sessions: 0 }]
    },
    nodes: { answered: ['alone'], silent: [], complete: true }
  }])
  const id = await direct(alice, bob)
  await send(alice, id, 'one')
  await send(alice, id, 'two')
  await run("update push_due set due_at = now() - interval '90 seconds'")
  const updatedAt = performance.now()
  const ends =
    ['phone', 'tablet'].map(device_id => api.messaging.connections.add(saidToBeThere(bob.id, { device_id })))
  const body = await statistics()
  for (const end of ends) end()
  expect(body).toMatchObject({
    users: { count: 3, exact: true },
    conversations: { count: 1, exact: true },
    messages: { count: 2, exact: true },
    inbox_events: { count: 6, exact: true },
    push: { due: { count: 1, exact: true } },
    online: { users: 1, connections: 2, nodes: [{ node: 'alone', users: 1, connections: 2 }] }
  })
  expect(body.push.oldest_due_seconds).toBeGreaterThanOrEqual(90)
  expect(body.push.oldest_due_seconds).toBeLessThan(91 + (performance.now() - updatedAt) / 1_000)
  expect(body.database_bytes).toBeGreaterThan(1_000_000)
})

test('a large table is estimated, analyzed or not, and the answer says so', async () => {
  await run('alter table inbox_events set (autovacuum_enabled = off)')
  await run(
    'insert into inbox_events (user_id, seq, type, created_at) select \'many\', n, \'resync_required\', now() from generate_series(1, 200000) as n'
  )
  for (const analyzed of [false, true]) {
    if (analyzed) await run('analyze inbox_events')
    const { inbox_events: { count, exact } } = await statistics()
    expect(exact).toBe(false)
    expect(Math.abs(count - 200_000), `analyzed: ${analyzed}`).toBeLessThan(10_000)
  }
})

test('without the scope or without a token there are no statistics', async () => {
  const alice = await api.user('alice')
  for (const [caller, status, code] of [
    [alice, 403, 'admin_required'], [api.anonymous(), 401, 'token_required']
  ] as const) {
    const answer = await caller.get('/admin/statistics')
    expect([answer.status, answer.body.code]).toEqual([status, code])
  }
})
