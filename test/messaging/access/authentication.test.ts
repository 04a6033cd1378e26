/** How long a user is known without a look at the database, what is said of a token, how keys are found. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import pino from 'pino'
import { afterEach, expect, test, vi } from 'vitest'
import { createAuthentication } from '../../../messaging/access/authentication.ts'
import { type Database } from '../../../store/database.ts'
import { SECRET, signToken } from '../../support/tokens.ts'

const log = pino({ level: 'silent' })

afterEach(() => { vi.restoreAllMocks() })

test('a user is read once a second, or once a minute while revocations are heard of', async () => {
  let now = 0
  let reads = 0
  const rows = async (): Promise<unknown[]> => {
    reads++
    return [{ i: 1, tokens_valid_after: new Date(0) }]
  }
  const database = { opening: { rows } } as unknown as Database
  const authentication = createAuthentication(
    { key: { kind: 'secret', secret: SECRET } }, { database, meet: async () => {}, log, now: Date.now })
  const token = await signToken('ann', {})
  vi.spyOn(performance, 'now').mockImplementation(() => now)
  const readsAt = async (at: number): Promise<number> => {
    now = at
    await authentication.authenticate(token)
    return reads
  }

  expect([await readsAt(0), await readsAt(900), await readsAt(1_100)]).toEqual([1, 1, 2])
  authentication.heardUntil(2_000)
  expect([await readsAt(3_400), await readsAt(3_600)]).toEqual([2, 3])
  authentication.heardUntil(60_000)
  expect([await readsAt(61_000), authentication.remembered()]).toEqual([3, 1])
  authentication.heardUntil(64_000)
  expect(await readsAt(64_000)).toBe(4)
  authentication.forget('ann')
  expect([authentication.remembered(), await readsAt(64_001)]).toEqual([0, 5])
})

test('what was read slowly is not remembered: a revocation may have been applied meanwhile', async () => {
  let now = 0
  const rows = async (): Promise<unknown[]> => {
    now += 6_000
    return [{ i: 1, tokens_valid_after: new Date(0) }]
  }
  const authentication = createAuthentication(
    { key: { kind: 'secret', secret: SECRET } },
    { database: { opening: { rows } } as unknown as Database, meet: async () => {}, log, now: Date.now })
  const token = await signToken('ann', {})
  vi.spyOn(performance, 'now').mockImplementation(() => now)
  await authentication.authenticate(token)
  expect(authentication.remembered()).toBe(0)
})

test('a token is told once that it names filters which grant nothing', async () => {
  const lines: Array<{ msg: string, level: number, user_id: string, filters: string[] }> = []
  const database =
    { opening: { rows: async () => [{ i: 1, tokens_valid_after: new Date(0) }] } } as unknown as Database
  const authentication = createAuthentication({ key: { kind: 'secret', secret: SECRET } }, {
    database,
    meet: async () => {},
    now: Date.now,
    log: pino({}, { write: (line: string) => { lines.push(JSON.parse(line)) } })
  })
  const acl = {
    pub: ['#', 'sensors/1'], sub: ['+/state', '$SYS/#', 'user/bob/inbox', 'a+', 'a/#/b', '', 7, 'sensors/+']
  }
  const token = await signToken('ann', { claims: { acl } })
  for (const identity of await Promise.all([1, 2, 3].map(() => authentication.authenticate(token)))) {
    expect(identity.acl).toEqual({ pub: ['sensors/1'], sub: ['sensors/+'] })
  }
  await authentication.authenticate(await signToken('bob', { claims: { acl: { sub: ['sensors/#'] } } }))
  await authentication.authenticate(await signToken('carl', {}))
  expect(lines).toMatchObject([{
    level: 40,
    user_id: 'ann',
    filters: ['#', '+/state', '$SYS/#', 'user/bob/inbox', 'a+'],
    msg: 'filters in the acl of a token grant nothing'
  }])
  await authentication.authenticate(await signToken('dora', { claims: { acl: { sub: [7] } } }))
  expect(lines[1]).toMatchObject({ user_id: 'dora', filters: ['a number'] })
})

test('a key set that cannot be fetched makes no token invalid: it is asked for again', async () => {
  const { privateKey, publicKey } = await generateKeyPair('ES256')
  const keys = JSON.stringify({ keys: [{ ...await exportJWK(publicKey), kid: 'k', alg: 'ES256' }] })
  const answers: Array<[number, string]> = [[500, 'oops'], [200, '<html>'], [200, '{"keys":7}'], [200, keys]]
  const server = createServer((_, response) => {
    const [status, body] = answers.shift()!
    response.writeHead(status).end(body)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
    const database =
      { opening: { rows: async () => [{ i: 1, tokens_valid_after: new Date(0) }] } } as unknown as Database
    const authentication = createAuthentication(
      { key: { kind: 'jwks', url } }, { database, meet: async () => {}, log, now: Date.now })
    const token = await new SignJWT({}).setProtectedHeader({ alg: 'ES256', kid: 'k' })
      .setSubject('ann').setIssuedAt().setExpirationTime('1h').sign(privateKey)
    for (let i = 0; i < 3; i++) {
      await expect(authentication.authenticate(token)).rejects.toMatchObject({ fault: 'unavailable' })
    }
    expect((await authentication.authenticate(token)).userId).toBe('ann')
    const stranger = await new SignJWT({}).setProtectedHeader({ alg: 'ES256', kid: 'other' })
      .setSubject('ann').setExpirationTime('1h').sign(privateKey)
    await expect(authentication.authenticate(stranger)).rejects.toMatchObject({ fault: 'unauthenticated' })
  } finally {
    server.close()
  }
})
