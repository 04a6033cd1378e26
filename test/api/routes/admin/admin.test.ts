import { afterAll, beforeAll, expect, test } from 'vitest'
import { eq } from 'drizzle-orm'
import { audit_log, users } from '../../../../migrations/schema.ts'
import { findName } from '../../../../store/people/profiles.ts'
import { signToken } from '../../../support/tokens.ts'
import { until } from '../../../support/until.ts'
import { type Caller, ISSUER, startTestApi, type TestApi } from '../../api.ts'

let api: TestApi
let root: Caller

beforeAll(async () => {
  api = await startTestApi()
  root = await api.user('root', { claims: { scope: 'something admin' } })
})
afterAll(() => api[Symbol.asyncDispose]())

const second = (): number => Math.floor(Date.now() / 1000)

test('an admin revokes the tokens of a user, and the audit log says who', async () => {
  const alice = await api.user('alice')
  expect((await alice.get('/users/me')).status).toBe(200)
  const { status, body } = await root.post(`/admin/users/${alice.id}/revoke`)
  expect([status, body]).toEqual([204, undefined])
  const refused = await alice.get('/users/me')
  expect([refused.status, refused.body.code, refused.headers.get('www-authenticate')]).toEqual([
    401, 'invalid_token', 'Bearer'
  ])
  const { orm } = api.messaging.database.autocommit
  expect(await orm.select().from(audit_log).where(eq(audit_log.subject_user_id, alice.id)))
    .toMatchObject([{ actor_user_id: root.id, action: 'revoke_tokens', subject_user_id: alice.id }])
})

test('a token counts from the second after the revocation', async () => {
  const { id } = await api.user('alice')
  await api.messaging.database.autocommit.orm.insert(users)
    .values({ id, tokens_valid_after: new Date('2025-07-15T09:30:05.250Z') })
  const at = Date.parse('2025-07-15T09:30:05Z') / 1000
  const status = async (issuedAt: number): Promise<number> =>
    (await api.anonymous(await signToken(id, { issuer: ISSUER, issuedAt })).get('/users/me')).status
  expect([await status(at - 1), await status(at), await status(at + 0.9), await status(at + 1)]).toEqual([
    401, 401, 401, 200
  ])
})

test('a token issued after the revocation is good, one without a date is not', async () => {
  const alice = await api.user('alice')
  await alice.get('/users/me')
  await root.post(`/admin/users/${alice.id}/revoke`)
  const revokedIn = second()
  await until(() => second() > revokedIn, 'the second is over')
  const fresh = await signToken(alice.id, { issuer: ISSUER })
  expect((await api.anonymous(fresh).get('/users/me')).status).toBe(200)
  expect((await alice.get('/users/me')).status).toBe(401)
})

test('a revoked token gives no user a name', async () => {
  const nora = await api.user('nora')
  await nora.get('/users/me')
  await root.post(`/admin/users/${nora.id}/revoke`)
  const named = api.anonymous(await signToken(nora.id, { issuer: ISSUER, claims: { name: 'Nora' } }))
  expect((await named.get('/users/me')).status).toBe(401)
  expect(await findName(api.messaging.database.autocommit, nora.id)).toMatchObject({ name: null })
})

test('revoking needs the scope, for every caller and every id', async () => {
  const [alice, bob] =
    [await api.user('alice'), await api.user('bob', { claims: { scope: 'administrator' } })]
  await alice.get('/users/me')
  for (const [caller, id] of [[alice, alice.id], [bob, alice.id], [bob, 'nobody'], [bob, 'a%20b']] as const) {
    const answer = await caller.post(`/admin/users/${id}/revoke`)
    expect([answer.status, answer.body.code], id).toEqual([403, 'admin_required'])
  }
  expect((await alice.get('/users/me')).status).toBe(200)
})

test('an unknown user is not found, and an id outside the alphabet is refused', async () => {
  const unknown = await root.post('/admin/users/nobody/revoke')
  expect([unknown.status, unknown.body.code]).toEqual([404, 'user_not_found'])
  const wrong = await root.post('/admin/users/a%20b/revoke')
  expect([wrong.status, wrong.body.code]).toEqual([400, 'invalid_request'])
})
