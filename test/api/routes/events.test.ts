/** Server-sent events: what a reader gets, where it goes on, and how a stream ends. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runSql } from '../../support/database.ts'
import { type EventReader, openEvents, type ReaderOptions } from '../../support/event-stream.ts'
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

const open = (caller: Caller, options: ReaderOptions & { after?: number } = {}, server = api) =>
  openEvents(`${server.url}/api/v1`, caller.token, {
    ...options,
    headers: {
      ...options.headers,
      ...(options.after === undefined ? {} : { 'last-event-id': String(options.after) })
    }
  })
const ids = (reader: EventReader): unknown[] => reader.events().map(({ id }) => id)
const count = (reader: EventReader, n: number) =>
  until(() => reader.events().length >= n, `${n} events came`)
const gone = (server: TestApi, caller: Caller) =>
  until(() => [...server.messaging.connections.of(caller.id)].length === 0, 'the stream is forgotten')
const feedOf = (caller: Caller, server = api) =>
  [...server.messaging.feeds.all()].findLast(({ userId }) => userId === caller.id)!
const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i)

test('a reader gets what comes from now on, as over MQTT, and knows where it began', async () => {
  const end = await inboxEnd(bob)
  using reader = await open(bob)
  expect(reader.headers).toMatchObject({
    'content-type': 'text/event-stream',
    'cache-control': 'no-store, no-transform',
    'x-accel-buffering': 'no',
    'x-request-id': expect.any(String)
  })
  const { body: message } = await send(alice, conversation, 'one\n\n"two" 😀')
  await count(reader, 1)
  expect(reader.blocks[0]).toEqual({ retry: 2_000, id: end })
  expect(reader.events()).toEqual([{
    id: end + 1,
    event: 'new_message',
    data: { seq: end + 1, epoch: api.messaging.epoch, type: 'new_message', message }
  }])
})

test('a reader that has nothing yet gets the whole log, and what comes meanwhile', async () => {
  const ivy = await api.user('ivy')
  const id = await direct(alice, ivy)
  await Promise.all(Array.from({ length: 150 }, (_, i) => send(alice, id, `before ${i}`)))
  const opening = open(ivy, { after: 0 })
  await Promise.all(Array.from({ length: 50 }, (_, i) => send(alice, id, `meanwhile ${i}`)))
  using reader = await opening
  await count(reader, 201)
  expect(ids(reader)).toEqual(numbers(1, 201))
})

test('an event that comes while the place of a stream is looked up is not missed', async () => {
  const { openings } = api.messaging
  const { locate } = openings
  const end = await inboxEnd(bob)
  openings.locate = async device => {
    openings.locate = locate
    const found = await locate(device)
    await send(alice, conversation, 'in between')
    return found
  }
  using reader = await open(bob)
  // At once, not when the sweep finds it.
  expect(feedOf(bob).pump.knownSeq).toBe(end + 1)
  await count(reader, 1)
  expect(ids(reader)).toEqual([end + 1])
})

test('a wake that got lost costs seconds, not an event', async () => {
  await using server = await startTestApi({ sweepMs: 100 })
  const [jack, kate] = [await server.user('jack'), await server.user('kate')]
  const id = await direct(jack, kate)
  const end = await inboxEnd(kate)
  using reader = await open(kate, {}, server)
  feedOf(kate, server).wake = () => {}
  await send(jack, id, 'not announced')
  await count(reader, 1)
  expect(ids(reader)).toEqual([end + 1])
})

test('a place that the log does not know is 410, and one that is no number 400', async () => {
  const dora = await api.user('dora')
  const id = await direct(alice, dora)
  for (let i = 0; i < 4; i++) await send(alice, id, `message ${i}`)
  await runSql(api.databaseUrl, `delete from inbox_events where user_id = '${dora.id}' and seq <= 3`)
  const asked = async (lastEventId: string): Promise<unknown> => {
    using reader = await open(dora, { headers: { 'last-event-id': lastEventId } })
    return [reader.status, ...reader.status === 200 ? [] : [JSON.parse(reader.text).code]]
  }
  expect(await asked('1')).toEqual([410, 'resync_required'])
  expect(await asked('6')).toEqual([410, 'resync_required'])
  expect(await asked('3')).toEqual([200])
  expect(await asked('5')).toEqual([200])
  for (const wrong of ['-1', 'x', '1.5', '99999999999999999999']) {
    expect(await asked(wrong), wrong).toEqual([400, 'invalid_request'])
  }
  await gone(api, dora)
})

test('HEAD answers with the head and opens no stream', async () => {
  const carl = await api.user('carl')
  using reader = await open(carl, { method: 'HEAD' })
  await until(() => reader.ended, 'the answer is whole')
  expect([reader.status, reader.blocks]).toEqual([200, []])
  expect(reader.headers['content-type']).toBe('text/event-stream')
  expect([...api.messaging.feeds.all()].filter(feed => feed.userId === carl.id)).toEqual([])
})

test('typing and presence arrive without an id', async () => {
  using reader = await open(bob)
  await alice.post(`/conversations/${conversation}/typing`, { is_typing: true })
  await open(alice)
  await count(reader, 2)
  expect(reader.events()).toEqual([
    {
      event: 'typing',
      data: {
        type: 'typing',
        conversation_id: conversation,
        user_id: alice.id,
        is_typing: true,
        expires_at: expect.any(String)
      }
    },
    {
      event: 'presence',
      data: { type: 'presence', user_id: alice.id, online: true, last_seen_at: expect.any(String) }
    }
  ])
})

test('a reader is online and delivers nothing; an administrator sees it and ends it', async () => {
  const root = await api.user('root', { claims: { scope: 'admin' } })
  const eve = await api.user('eve')
  const id = await direct(alice, eve)
  using reader = await open(eve, { headers: { 'x-device-id': 'browser-1' } })
  expect((await alice.get(`/users/${eve.id}/presence`)).body.online).toBe(true)
  const { body: message } = await send(alice, id, 'only looked at')
  await count(reader, 1)
  expect((await alice.get(`/messages/${message.id}/status`)).body.status).toBe('sent')
  expect((await root.get(`/admin/users/${eve.id}/sessions`)).body.sessions).toMatchObject([{
    door: 'sse', device_id: 'browser-1', delivery: 'live', address: '127.0.0.1', unacknowledged: 0, lag: 0
  }])
  const ended = await root.post(`/admin/users/${eve.id}/disconnect`, { device_id: 'browser-1' })
  expect(ended.body.ended).toBe(1)
  await until(() => reader.ended, 'the stream ends')
  await gone(api, eve)
})

test('a stream without events shows that it lives', async () => {
  await using other = await startTestApi({ heartbeatMs: 20 })
  const ann = await other.user('ann')
  using reader = await open(ann, {}, other)
  await until(() => reader.blocks.filter(({ comment }) => comment).length > 2, 'comments came')
})

test('a user who opens too many streams ends the oldest', async () => {
  const kim = await api.user('kim')
  const readers: EventReader[] = []
  for (let i = 0; i < 17; i++) readers.push(await open(kim))
  await until(() => readers[0]!.ended, 'the oldest ends')
  expect(readers.filter(({ ended }) => ended)).toHaveLength(1)
  for (const reader of readers) reader[Symbol.dispose]()
  await gone(api, kim)
})

test('a server that stops ends its streams at once', async () => {
  await using other = await startTestApi()
  const ann = await other.user('ann')
  using reader = await open(ann, {}, other)
  await other.stop()
  await until(() => reader.ended, 'the stream ends')
  expect([...other.messaging.connections.all()]).toEqual([])
})
