import { afterAll, beforeAll, expect, test } from 'vitest'
import { eq } from 'drizzle-orm'
import { audit_log } from '../../../../migrations/schema.ts'
import { saidToBeThere } from '../../../support/connection.ts'
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

const audit = (userId: string) =>
  api.messaging.database.autocommit.orm.select().from(audit_log).where(eq(audit_log.subject_user_id, userId))

/** A connection of the user on this node; says whether it was ended. */
function connect (userId: string, deviceId: string): { ended: string | undefined } {
  const connected: { ended: string | undefined } = { ended: undefined }
  const end = api.messaging.connections.add({
    ...saidToBeThere(userId, { device_id: deviceId }),
    disconnect (reason) {
      connected.ended = reason
      end()
    }
  })
  return connected
}

const ALONE = { answered: ['alone'], silent: [], complete: true }

test('an admin sees connections and stored devices, and never a push token', async () => {
  const alice = await seen('alice')
  await alice.put('/devices/tablet', { platform: 'ios', push_token: `secret-${alice.id}` })
  const end = api.messaging.connections.add(saidToBeThere(
    alice.id, { device_id: 'pixel', unacknowledged: 3, lag: 7, address: null }
  ))
  const { status, body } = await root.get(`/admin/users/${alice.id}/sessions`)
  end()
  expect([status, body]).toEqual([200, {
    inbox: { last_seq: 0, acked_seq: 0 },
    sessions: [{
      node: 'alone',
      device_id: 'pixel',
      door: 'mqtt',
      delivery: 'tracked',
      clean_session: false,
      address: null,
      connected_at: '1970-01-01T00:00:01.000Z',
      last_active_at: '1970-01-01T00:00:02.000Z',
      unacknowledged: 3,
      lag: 7,
      token_expires_at: '1970-01-01T00:00:03.000Z'
    }],
    devices: [{
      device_id: 'tablet',
      platform: 'ios',
      has_push_token: true,
      acked_seq: null,
      last_seen_at: expect.any(String)
    }],
    nodes: ALONE
  }])
  expect(JSON.stringify(body)).not.toContain('secret')
  expect(await audit(alice.id)).toMatchObject([
    { actor_user_id: root.id, action: 'read_sessions', details: null }
  ])
})

test('a disconnect ends every connection of the user and of no other', async () => {
  const [alice, bob] = [await seen('alice'), await seen('bob')]
  const [phone, tablet, other] =
    [connect(alice.id, 'phone'), connect(alice.id, 'tablet'), connect(bob.id, 'phone')]
  const { status, body } = await root.post(`/admin/users/${alice.id}/disconnect`, {})
  expect([status, body]).toEqual([200, { ended: 2, nodes: ALONE }])
  expect([phone.ended, tablet.ended, other.ended]).toEqual([
    'an administrator ended it', 'an administrator ended it', undefined
  ])
  expect(await audit(alice.id)).toMatchObject([
    { actor_user_id: root.id, action: 'disconnect', details: null }
  ])
})

test('a disconnect of one device leaves the others', async () => {
  const alice = await seen('alice')
  const [phone, tablet] = [connect(alice.id, 'phone'), connect(alice.id, 'tablet')]
  const { body } = await root.post(`/admin/users/${alice.id}/disconnect`, { device_id: 'tablet' })
  expect([body.ended, phone.ended, tablet.ended]).toEqual([1, undefined, 'an administrator ended it'])
  expect(await audit(alice.id)).toMatchObject([{ action: 'disconnect', details: { device_id: 'tablet' } }])
})

test('a disconnect needs no body, keeps cursors, and ends nothing where nothing is connected', async () => {
  const alice = await seen('alice')
  await alice.request('POST', '/inbox/ack', { seq: 0 }, { headers: { 'x-device-id': 'phone' } })
  const before = (await root.get(`/admin/users/${alice.id}/sessions`)).body.devices
  const { status, body } = await root.post(`/admin/users/${alice.id}/disconnect`)
  expect([status, body.ended]).toEqual([200, 0])
  expect((await root.get(`/admin/users/${alice.id}/sessions`)).body.devices).toEqual(before)
  expect(before).toMatchObject([{ device_id: 'phone', acked_seq: 0 }])
})

test('an unknown user is not found, bad input is refused, and neither leaves a trace', async () => {
  const alice = await seen('alice')
  const answers = [
    await root.get('/admin/users/nobody/sessions'),
    await root.post('/admin/users/nobody/disconnect'),
    await root.get('/admin/users/a%20b/sessions'),
    await root.post('/admin/users/a%20b/disconnect'),
    await root.post(`/admin/users/${alice.id}/disconnect`, { device_id: '' }),
    await root.post(`/admin/users/${alice.id}/disconnect`, { device_id: 7 }),
    await root.post(`/admin/users/${alice.id}/disconnect`, { device_id: 'a\u0000b' }),
    await root.post(`/admin/users/${alice.id}/disconnect`, { device: 'phone' }),
    await root.post(`/admin/users/${alice.id}/disconnect`, [])
  ]
  expect(answers.map(({ status, body }) => [status, body.code])).toEqual([
    [404, 'user_not_found'], [404, 'user_not_found'], [400, 'invalid_request'], [400, 'invalid_request'],
    [
      400, 'invalid_request'
    ], [400, 'invalid_request'], [400, 'invalid_text'], [400, 'invalid_request'], [400, 'invalid_request']
  ])
  expect([await audit('nobody'), await audit(alice.id)]).toEqual([[], []])
})

test('without the scope or without a token nothing is shown and nothing ends', async () => {
  const alice = await seen('alice')
  const phone = connect(alice.id, 'phone')
  for (const [caller, status, code] of [
    [alice, 403, 'admin_required'], [api.anonymous(), 401, 'token_required']
  ] as const) {
    for (const answer of [
      await caller.get(`/admin/users/${alice.id}/sessions`),
      await caller.post(`/admin/users/${alice.id}/disconnect`)
    ]) {
      expect([answer.status, answer.body.code]).toEqual([status, code])
    }
  }
  expect([phone.ended, await audit(alice.id)]).toEqual([undefined, []])
})

test('of all users, those furthest behind come first, without addresses and without a trace', async () => {
  const [alice, bob] = [await seen('alice'), await seen('bob')]
  const ends = [
    saidToBeThere(alice.id, { device_id: 'late', lag: 70, unacknowledged: 64 }),
    saidToBeThere(bob.id, { device_id: 'new', connected_at: 9_000 }),
    saidToBeThere(bob.id, { device_id: 'old' })
  ].map(connection => api.messaging.connections.add(connection))
  const { status, body } = await root.get('/admin/sessions?limit=2')
  for (const end of ends) end()
  expect(status).toBe(200)
  expect(body.sessions.map((session: { device_id: string }) => session.device_id)).toEqual(['late', 'new'])
  expect(body.sessions[0]).toEqual({
    user_id: alice.id,
    node: 'alone',
    door: 'mqtt',
    device_id: 'late',
    delivery: 'tracked',
    clean_session: false,
    connected_at: '1970-01-01T00:00:01.000Z',
    last_active_at: '1970-01-01T00:00:02.000Z',
    unacknowledged: 64,
    lag: 70,
    token_expires_at: '1970-01-01T00:00:03.000Z'
  })
  expect(body.nodes).toEqual(ALONE)
  expect(await audit(alice.id)).toEqual([])
})
