import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Caller, startTestApi, type TestApi } from '../../api.ts'

let api: TestApi
let root: Caller

beforeAll(async () => {
  api = await startTestApi()
  root = await api.user('root', { claims: { scope: 'admin' } })
})
afterAll(() => api[Symbol.asyncDispose]())

async function seen (name: string): Promise<Caller> {
  const user = await api.user(name)
  await user.get('/users/me')
  return user
}

test('the log says who did what to which user, the newest first, and for one user on request', async () => {
  const [alice, bob] = [await seen('alice'), await seen('bob')]
  await root.post(`/admin/users/${alice.id}/disconnect`, { device_id: 'phone' })
  await root.get(`/admin/users/${bob.id}/sessions`)
  await root.post(`/admin/users/${alice.id}/revoke`)
  const { status, body } = await root.get('/admin/audit-log?limit=3')
  expect(status).toBe(200)
  expect(body.entries).toEqual([
    [
      'revoke_tokens', alice.id, null
    ], ['read_sessions', bob.id, null], ['disconnect', alice.id, { device_id: 'phone' }]
  ].map(([action, subject_user_id, details]) => ({
    id: expect.any(String),
    actor_user_id: root.id,
    action,
    subject_user_id,
    details,
    created_at: expect.any(String)
  })))
  const own = await root.get(`/admin/audit-log?user_id=${alice.id}`)
  expect([own.body.entries.map((entry: any) => entry.action), own.body.has_more]).toEqual([
    ['revoke_tokens', 'disconnect'], false
  ])
})

test('pages follow each other without a gap while entries are added', async () => {
  const alice = await seen('alice')
  for (let i = 0; i < 7; i++) await root.post(`/admin/users/${alice.id}/disconnect`, { device_id: `d-${i}` })
  const pages: any[] = []
  for (let before = ''; ;) {
    const { body } = await root.get(`/admin/audit-log?user_id=${alice.id}&limit=3${before}`)
    pages.push(body.entries.map((entry: any) => entry.details?.device_id))
    await root.post(`/admin/users/${alice.id}/disconnect`, { device_id: 'later' })
    if (!body.has_more) break
    before = `&before_id=${body.entries.at(-1).id}`
  }
  expect(pages).toEqual([['d-6', 'd-5', 'd-4'], ['d-3', 'd-2', 'd-1'], ['d-0']])
})

test('bad queries are refused, and a user without the scope sees nothing', async () => {
  const alice = await seen('alice')
  for (const query of ['limit=0', 'limit=201', 'limit=x', 'before_id=7', 'user_id=a%20b']) {
    const answer = await root.get(`/admin/audit-log?${query}`)
    expect([answer.status, answer.body.code], query).toEqual([400, 'invalid_request'])
  }
  for (const [caller, status, code] of [
    [alice, 403, 'admin_required'], [api.anonymous(), 401, 'token_required']
  ] as const) {
    const answer = await caller.get('/admin/audit-log')
    expect([answer.status, answer.body.code]).toEqual([status, code])
  }
})
