import { afterAll, beforeAll, expect, test } from 'vitest'
import { SignJWT } from 'jose'
import { SECRET, signToken, unsignedToken } from '../support/tokens.ts'
import { runSql } from '../support/database.ts'
import { until } from '../support/until.ts'
import { ISSUER, startTestApi, type TestApi } from './api.ts'

let api: TestApi

beforeAll(async () => { api = await startTestApi() })
afterAll(() => api[Symbol.asyncDispose]())

const now = Math.floor(Date.now() / 1000)

const refused: Array<[string, () => string | Promise<string>]> = [
  ['an expired token', () => signToken('alice', { issuer: ISSUER, expires: now - 60 })],
  ['a token signed with another secret', () => signToken(
    'alice', { issuer: ISSUER, secret: new TextEncoder().encode('the secret of another service entirely') }
  )],
  ['a token with alg none', () => unsignedToken('alice')],
  ['a token of another issuer', () => signToken('alice', { issuer: 'https://elsewhere.example' })],
  ['a token without an issuer', () => signToken('alice')],
  ['a token without exp', () =>
    new SignJWT({}).setProtectedHeader({ alg: 'HS256' }).setSubject('alice').setIssuer(ISSUER).sign(SECRET)],
  ['a token without sub', () => new SignJWT({}).setProtectedHeader({ alg: 'HS256' }).setExpirationTime(
    '1h'
  ).setIssuer(ISSUER).sign(SECRET)],
  ['a user id outside the alphabet', () => signToken('alice/../bob', { issuer: ISSUER })],
  ['a user id with U+0000', () => signToken('alice\0', { issuer: ISSUER })],
  ['a user id of 65 characters', () => signToken('a'.repeat(65), { issuer: ISSUER })],
  ['an empty user id', () => signToken('', { issuer: ISSUER })],
  ['something that is no token', () => 'token']
]

test.each(refused)('%s is refused', async (_, makeToken) => {
  const { status, headers, body } = await api.anonymous(await makeToken()).get('/users/me')
  expect([status, body.code, headers.get('www-authenticate')]).toEqual([401, 'invalid_token', 'Bearer'])
  expect(headers.get('content-type')).toMatch(/^application\/problem\+json/)
})

test('a request without a token is refused before its body is looked at', async () => {
  const { status, headers, body } =
    await api.anonymous().request('POST', '/messages', undefined, { raw: '{' })
  expect([status, body.code, headers.get('www-authenticate')]).toEqual([401, 'token_required', 'Bearer'])
})

test('another scheme than Bearer is refused', async () => {
  const answer = await api.anonymous()
    .request('GET', '/users/me', undefined, { headers: { authorization: 'Basic YWxpY2U6eA==' } })
  expect([answer.status, answer.body.code]).toEqual([401, 'invalid_token'])
})

test('every route of the API requires a token', async () => {
  const { paths } = (await api.anonymous().get('//docs/json')).body
  const routes = Object.entries(paths as Record<string, object>)
    .flatMap(([path, methods]) => Object.keys(methods).map(method => [method.toUpperCase(), path] as const))
    .filter(([, path]) => path.startsWith('/api/'))
  expect(routes.length).toBeGreaterThan(20)
  for (const [method, path] of routes) {
    const answer = await api.anonymous().request(method, path.replaceAll(/\{[^}]+\}/g, 'x'))
    expect(answer.status, `${method} ${path}`).toBe(401)
  }
})

test('a user id may be anything of the alphabet, and the name comes from the token', async () => {
  const token = await signToken('tenant-1:Al.ice_2', { issuer: ISSUER, claims: { name: 'Alice' } })
  expect((await api.anonymous(token).get('/users/me')).body).toEqual({
    id: 'tenant-1:Al.ice_2', name: 'Alice', avatar: null
  })
})

test('a revoked token is refused within two seconds', async () => {
  const alice = await api.user('alice')
  expect((await alice.get('/users/me')).status).toBe(200)
  await runSql(api.databaseUrl, `update users set tokens_valid_after = now() where id = '${alice.id}'`)
  await until(async () => (await alice.get('/users/me')).status === 401, 'the token is refused')
})
