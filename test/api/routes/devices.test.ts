import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Answer, type Caller, startTestApi, type TestApi } from '../api.ts'

let api: TestApi
let alice: Caller

beforeAll(async () => {
  api = await startTestApi()
  alice = await api.user('alice')
})
afterAll(() => api[Symbol.asyncDispose]())

test('a device is registered, looked at, listed and forgotten', async () => {
  const device = {
    device_id: 'pixel 8/ü',
    platform: 'android',
    push_token: 'token-1',
    acked_seq: null,
    last_seen_at: expect.stringMatching(/Z$/)
  }
  const path = `/devices/${encodeURIComponent('pixel 8/ü')}`
  const registered = await alice.put(path, { platform: 'android', push_token: 'token-1' })
  expect([registered.status, registered.body]).toEqual([200, device])
  expect((await alice.get(path)).body).toEqual(device)
  expect((await alice.get('/devices')).body).toEqual({ devices: [device] })
  expect((await alice.delete(path)).status).toBe(204)
  expect((await alice.get(path)).body.code).toBe('device_not_found')
  expect((await alice.delete(path)).body.code).toBe('device_not_found')
  expect((await alice.get('/devices')).body).toEqual({ devices: [] })
})

test('registering again replaces the token', async () => {
  await alice.put('/devices/again', { platform: 'ios', push_token: 'token-2' })
  expect((await alice.put('/devices/again', { platform: 'web', push_token: 'token-3' })).body).toMatchObject({
    platform: 'web', push_token: 'token-3'
  })
})

test('a token belongs to the device that registered it last, of whichever user', async () => {
  const bob = await api.user('bob')
  await alice.put('/devices/shared', { platform: 'ios', push_token: 'token-4' })
  await Promise.all(Array.from(
    { length: 5 }, (_, i) => alice.put(`/devices/shared-${i}`, { platform: 'ios', push_token: 'token-4' })
  ))
  expect((await bob.put('/devices/shared', { platform: 'ios', push_token: 'token-4' })).status).toBe(200)
  const tokens = (await alice.get('/devices')).body.devices.map((device: { push_token: string | null }) =>
    device.push_token)
  expect(tokens).not.toContain('token-4')
})

test('a user does not reach the devices of another', async () => {
  const carol = await api.user('carol')
  await alice.put('/devices/own', { platform: 'ios', push_token: 'token-5' })
  expect((await carol.get('/devices/own')).status).toBe(404)
  expect((await carol.delete('/devices/own')).status).toBe(404)
  expect((await alice.get('/devices/own')).status).toBe(200)
})

test('a device id of 128 characters is fine, however they are encoded', async () => {
  const id = '😀'.repeat(128)
  expect((await alice.put(
    `/devices/${encodeURIComponent(id)}`, { platform: 'web', push_token: 'token-6' }
  )).body.device_id).toBe(id)
})

test('a user has 20 registered devices: the next one takes the place of the one not seen for longest', async () => {
  const dora = await api.user('dora')
  const register = (n: number): Promise<Answer> =>
    dora.put(`/devices/${n}`, { platform: 'ios', push_token: `dora-${n}` })
  for (let n = 1; n <= 20; n++) await register(n)
  await register(1)
  await Promise.all([21, 22, 23].map(register))
  const registered = (await dora.get('/devices')).body.devices.map((device: any) => Number(device.device_id))
  expect(registered.toSorted((a: number, b: number) => a - b))
    .toEqual([1, ...Array.from({ length: 19 }, (_, i) => i + 5)])
})

test('a registration that cannot be is refused', async () => {
  const body = { platform: 'ios', push_token: 'token-7' }
  for (const [name, path, sent, code] of [
    ['U+0000 in the device id', '/devices/a%00b', body, 'invalid_text'],
    ['129 characters', `/devices/${'d'.repeat(129)}`, body, 'invalid_request'],
    ['bytes that are no UTF-8', '/devices/%ff', body, 'invalid_request'],
    ['an unknown platform', '/devices/x', { ...body, platform: 'pager' }, 'invalid_request'],
    ['no token', '/devices/x', { platform: 'ios' }, 'invalid_request'],
    ['an empty token', '/devices/x', { ...body, push_token: '' }, 'invalid_request'],
    ['U+0000 in the token', '/devices/x', { ...body, push_token: 'a\0' }, 'invalid_request'],
    ['a lone surrogate in the token', '/devices/x', { ...body, push_token: 'a\ud800' }, 'invalid_request'],
    ['a token too long for its index', '/devices/x', {
      ...body, push_token: 'a'.repeat(1_025)
    }, 'invalid_request'],
    ['an unknown field', '/devices/x', { ...body, colour: 'red' }, 'invalid_request']
  ] as const) {
    const answer = await alice.put(path, sent)
    expect([answer.status, answer.body.code], name).toEqual([400, code])
  }
  expect((await alice.get('/devices/x')).status).toBe(404)
})
