import { afterAll, beforeAll, expect, test } from 'vitest'
import { request as httpRequest } from 'node:http'
import { runSql } from '../../support/database.ts'
import { until } from '../../support/until.ts'
import { type Caller, direct, inboxEnd, send, startTestApi, type TestApi } from '../api.ts'

let api: TestApi
let alice: Caller
let bob: Caller
let conversation: string

beforeAll(async () => {
  api = await startTestApi()
  alice = await api.user('alice')
  bob = await api.user('bob')
  conversation = await direct(alice, bob)
})
afterAll(() => api[Symbol.asyncDispose]())

const listens = (test: TestApi, userId: string) =>
  until(() => test.messaging.wakes.users().includes(userId), 'a poll waits')
const forgotten = (test: TestApi, userId: string) =>
  until(() => !test.messaging.wakes.users().includes(userId), 'no poll waits')

test('the inbox hands out the events in order, whole, page by page', async () => {
  const carol = await api.user('carol')
  const id = await direct(alice, carol)
  const { body: first } = await send(alice, id, 'one "quoted" 😀')
  await send(alice, id, 'two')

  const page = (await carol.get('/inbox?limit=2')).body
  expect(page).toEqual({
    events: [
      {
        seq: 1,
        epoch: api.messaging.epoch,
        type: 'conversation_created',
        conversation: expect.objectContaining({ id })
      },
      { seq: 2, epoch: api.messaging.epoch, type: 'new_message', message: first }
    ],
    epoch: api.messaging.epoch,
    last_seq: 3,
    has_more: true
  })
  const rest = (await carol.get('/inbox?after=2')).body
  expect([rest.events.length, rest.events[0].seq, rest.has_more]).toEqual([1, 3, false])
  expect((await carol.get('/inbox?after=3')).body).toEqual({
    events: [], epoch: api.messaging.epoch, last_seq: 3, has_more: false
  })
  // Whoever is ahead of the log knows another one.
  for (const wait of ['', '&wait=30']) {
    expect(await carol.get(`/inbox?after=4${wait}`)).toMatchObject({
      status: 410, body: { code: 'resync_required' }
    })
  }
})

test('reading the inbox acknowledges nothing', async () => {
  const { body: message } = await send(alice, conversation, 'only looked at')
  await bob.get('/inbox')
  expect((await alice.get(`/messages/${message.id}/status`)).body.status).toBe('sent')
})

test('an acknowledgement delivers, and moves the cursor of its device only', async () => {
  const { body: message } = await send(alice, conversation, 'acknowledged')
  const seq = await inboxEnd(bob)
  expect((await bob.post('/inbox/ack', { seq }, { 'x-device-id': 'phone-é' })).status).toBe(400)
  expect((await bob.request(
    'POST', '/inbox/ack', { seq }, { headers: { 'x-device-id': Buffer.from('phone-é').toString('latin1') } }
  )).status).toBe(204)
  expect((await bob.get('/devices')).body.devices).toEqual([
    {
      device_id: 'phone-é', platform: null, push_token: null, acked_seq: seq, last_seen_at: expect.any(String)
    }
  ])
  expect((await alice.get(`/messages/${message.id}/status`)).body.status).toBe('delivered')
})

test('an older acknowledgement changes nothing', async () => {
  await send(alice, conversation, 'more')
  const seq = await inboxEnd(bob)
  await bob.post('/inbox/ack', { seq }, { 'x-device-id': 'tablet' })
  expect((await bob.post('/inbox/ack', { seq: 1 }, { 'x-device-id': 'tablet' })).status).toBe(204)
  expect((await bob.get('/devices/tablet')).body.acked_seq).toBe(seq)
})

test('an acknowledgement that cannot be is refused', async () => {
  const seq = await inboxEnd(bob)
  for (const [name, body, device, code] of [
    ['no device', { seq }, undefined, 'device_id_required'],
    ['a device of 129 characters', { seq }, 'd'.repeat(129), 'invalid_header'],
    ['beyond the end', { seq: seq + 1 }, 'phone', 'seq_beyond_end'],
    ['far beyond the end', { seq: Number.MAX_SAFE_INTEGER }, 'phone', 'seq_beyond_end'],
    ['a negative seq', { seq: -1 }, 'phone', 'invalid_request'],
    ['no seq', {}, 'phone', 'invalid_request'],
    ['text as seq', { seq: '1' }, 'phone', 'invalid_request']
  ] as const) {
    const answer = await bob.post('/inbox/ack', body, device === undefined ? {} : { 'x-device-id': device })
    expect([answer.status, answer.body.code], name).toEqual([400, code])
  }
})

test('the inbox refuses wrong parameters', async () => {
  for (const query of [
    'after=-1', 'after=x', 'limit=0', 'limit=501', 'wait=31', 'wait=-1', 'after=99999999999999999999'
  ]) {
    const answer = await bob.get(`/inbox?${query}`)
    expect([answer.status, answer.body.code], query).toEqual([400, 'invalid_request'])
  }
})

test('events that are no longer kept make the inbox 410', async () => {
  const dora = await api.user('dora')
  const id = await direct(alice, dora)
  for (let i = 0; i < 4; i++) await send(alice, id, `message ${i}`)
  await runSql(api.databaseUrl, `delete from inbox_events where user_id = '${dora.id}' and seq <= 3`)
  const answer = await dora.get('/inbox?after=1')
  expect([answer.status, answer.body.code]).toEqual([410, 'resync_required'])
  expect((await dora.get('/inbox?after=3')).body.events.map((event: { seq: number }) => event.seq)).toEqual([
    4, 5
  ])
  await runSql(api.databaseUrl, `delete from inbox_events where user_id = '${dora.id}'`)
  expect((await dora.get('/inbox?after=4')).status).toBe(410)
  expect((await dora.get('/inbox?after=5')).body.events).toEqual([])
})

test('a long poll answers as soon as there is an event', async () => {
  const after = await inboxEnd(bob)
  const poll = bob.get(`/inbox?after=${after}&wait=30`)
  await listens(api, bob.id)
  await send(alice, conversation, 'wake up')
  expect((await poll).body.events).toMatchObject([{ seq: after + 1, message: { content: 'wake up' } }])
  await forgotten(api, bob.id)
})

test('a long poll wakes for events whose rendering needs a read', async () => {
  const gina = await api.user('gina')
  const poll = gina.get('/inbox?wait=30')
  await listens(api, gina.id)
  await direct(alice, gina)
  expect((await poll).body.events).toMatchObject([{ seq: 1, type: 'conversation_created' }])
})

test('a long poll does not miss an event that comes between its read and its wait', async () => {
  const after = await inboxEnd(bob)
  const { inboxLog } = api.messaging
  const read = inboxLog.after
  inboxLog.after = async (...query) => {
    inboxLog.after = read
    const found = await read(...query)
    await send(alice, conversation, 'in between')
    return found
  }
  const startedAt = performance.now()
  expect((await bob.get(`/inbox?after=${after}&wait=30`)).body.events).toHaveLength(1)
  expect(performance.now() - startedAt).toBeLessThan(20_000) // after 30 s it is found in any case
})

test('a page of large events is shorter than asked for, and says that there is more', async () => {
  const judy = await api.user('judy')
  const id = await direct(alice, judy)
  await Promise.all(Array.from({ length: 80 }, () => send(alice, id, '😀'.repeat(10_000))))
  const seqs: number[] = []
  for (let more = true; more;) {
    const { body } = await judy.get(`/inbox?limit=500&after=${seqs.at(-1) ?? 0}`)
    expect(body.events.length).toBeLessThan(81)
    seqs.push(...body.events.map((event: { seq: number }) => event.seq))
    more = body.has_more
  }
  expect(seqs).toEqual(Array.from({ length: 81 }, (_, i) => i + 1))
})

test('a long poll with events to read answers at once, one without answers empty after its time', async () => {
  expect((await bob.get('/inbox?wait=30')).body.events.length).toBeGreaterThan(0)
  const startedAt = performance.now()
  expect((await bob.get(`/inbox?after=${await inboxEnd(bob)}&wait=1`)).body.events).toEqual([])
  expect(performance.now() - startedAt).toBeGreaterThan(900)
})

test('a long poll whose client is gone is forgotten', async () => {
  const hank = await api.user('hank')
  const client =
    httpRequest(`${api.url}/api/v1/inbox?wait=30`, { headers: { authorization: `Bearer ${hank.token}` } })
  client.on('error', () => {})
  client.end()
  await listens(api, hank.id)
  client.destroy()
  await forgotten(api, hank.id)
})

test('a user who opens too many long polls ends their oldest', async () => {
  const ivy = await api.user('ivy')
  const abort = new AbortController()
  const first = ivy.get('/inbox?wait=30')
  await listens(api, ivy.id)
  const others = Array.from({ length: 16 }, () =>
    ivy.request('GET', '/inbox?wait=30', undefined, { signal: abort.signal }).catch(() => {}))
  expect((await first).body.events).toEqual([])
  abort.abort()
  await Promise.all(others)
  await forgotten(api, ivy.id)
})
