/** The copy follows the log, whatever is lost on the way: it ends as a fresh snapshot would show it. */
import { and, eq, gt } from 'drizzle-orm'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { createMemoryStore, type Client, type InboxEvent } from '../../client/index.ts'
import { type Rest } from '../../client/rest.ts'
import { openKeeper } from '../../client/state/keeper.ts'
import { emptyTables } from '../../client/store/store.ts'
import { createHistory } from '../../client/sync/history.ts'
import { withSnapshot } from '../../client/sync/snapshot.ts'
import { createSync } from '../../client/sync/sync.ts'
import { devices, inbox_events, users } from '../../migrations/schema.ts'
import { direct, group, inboxEnd, send, type Caller } from '../api/api.ts'
import { startEcho, type Echo } from '../model/world.ts'
import { until } from '../support/until.ts'
import { startDevice } from './devices.ts'
import { startNetwork } from './network.ts'

let echo: Echo

beforeAll(async () => { echo = await startEcho() })
afterAll(async () => { await echo[Symbol.asyncDispose]() })

async function pair () {
  const [ann, bob] = [await echo.api.user('ann'), await echo.api.user('bob')]
  const id = await direct(ann, bob)
  return { ann, bob, id }
}
const orm = () => echo.api.messaging.database.autocommit.orm
const contents = (client: Client, id: string): unknown[] =>
  client.model.messages(id).map(message => message.content)
const acknowledge = async (user: Caller, deviceId: string): Promise<void> => {
  await user.post('/inbox/ack', { seq: await inboxEnd(user) }, { 'x-device-id': deviceId })
}

test('what the server believes to be delivered and the device does not have is fetched', async () => {
  const { ann, bob, id } = await pair()
  await using bobs = await startDevice(echo, bob)
  const seen: InboxEvent[] = []
  bobs.on('event', event => { seen.push(event) })
  bobs.setOnline(false)
  await send(ann, id, 'one')
  await send(ann, id, 'two')
  await acknowledge(bob, 'device')
  bobs.setOnline(true)
  await send(ann, id, 'three')
  await until(() => seen.length === 3, 'all three have come')
  expect(contents(bobs, id)).toEqual(['one', 'two', 'three'])
  expect(bobs.model.unread()).toBe(3)
})

test('a device that the server has forgotten fetches what it missed, though no event comes', async () => {
  const { ann, bob, id } = await pair()
  await using bobs = await startDevice(echo, bob)
  bobs.setOnline(false)
  await send(ann, id, 'one')
  await acknowledge(bob, 'another device')
  await orm().delete(devices).where(eq(devices.user_id, bob.id))
  bobs.setOnline(true)
  await until(() => contents(bobs, id).length === 1, 'it has the message')
})

test.for([
  ['its request', 'rest'], ['its CONNACK', 'mqtt']
] as const)('a forgotten device fetches what it missed, also after %s broke off', async ([, door]) => {
  const { ann, bob, id } = await pair()
  await using network = await startNetwork({ api: echo.api.url, mqttPort: echo.mqttPort })
  const through = { api: { ...echo.api, url: network.api }, mqttPort: network.mqttPort }
  await using bobs = await startDevice(through, bob)
  bobs.setOnline(false)
  await send(ann, id, 'one')
  await acknowledge(bob, 'another device')
  await orm().delete(devices).where(eq(devices.user_id, bob.id))
  // The server knows the device again by the time of the second attempt.
  network.heal()
  network.cutAfter(door, 'down', 1)
  bobs.setOnline(true)
  await until(() => contents(bobs, id).length === 1, 'it has the message')
})

test('acknowledgements that are lost bring events again, and they are applied once', async () => {
  const { ann, bob, id } = await pair()
  await using network = await startNetwork({ api: echo.api.url, mqttPort: echo.mqttPort })
  await using bobs = await startDevice({ ...echo, mqttPort: network.mqttPort }, bob)
  const seen: number[] = []
  bobs.on('event', event => { seen.push(event.seq) })
  for (let i = 0; i < 20; i++) {
    await send(ann, id, `message ${i}`)
    network.cut()
  }
  await until(() => contents(bobs, id).length === 20, 'all have come')
  expect(seen).toEqual([...new Set(seen)].toSorted((a, b) => a - b))
  expect(bobs.model.unread()).toBe(20)
})

test('events that are no longer kept make it take a new snapshot, and its outbox goes out', async () => {
  const { ann, bob, id } = await pair()
  await using bobs = await startDevice(echo, bob)
  bobs.setOnline(false)
  for (const text of ['one', 'two', 'three']) await send(ann, id, text)
  await bobs.send({ conversation_id: id, content: 'mine' })
  // As after 30 days.
  await orm().delete(inbox_events).where(eq(inbox_events.user_id, bob.id))
  bobs.setOnline(true)
  // Its message may be answered before the snapshot: then it is shown as sent, and still waits for its event.
  await until(() => bobs.model.outbox().length === 0, 'its own message is shown by the snapshot, or after it')
  expect(bobs.model.conversation(id)).toMatchObject({ unread_count: 3, has_older: true })
  while (await bobs.loadOlder(id));
  expect(contents(bobs, id)).toEqual(['one', 'two', 'three', 'mine'])
  expect(bobs.model.outbox()).toEqual([])
})

test('a log that was restored to an earlier state makes it take a new snapshot', async () => {
  const { ann, bob, id } = await pair()
  await using bobs = await startDevice(echo, bob)
  for (const text of ['one', 'two', 'three']) await send(ann, id, text)
  await until(() => contents(bobs, id).length === 3, 'all have come')
  const kept = await inboxEnd(bob) - 2
  await orm().delete(inbox_events).where(and(eq(inbox_events.user_id, bob.id), gt(inbox_events.seq, kept)))
  await orm().update(users).set({ inbox_seq: kept, acked_seq: kept }).where(eq(users.id, bob.id))
  await orm().update(devices).set({ acked_seq: kept }).where(eq(devices.user_id, bob.id))
  let snapshots = 0
  bobs.on('change', () => { if (contents(bobs, id).length === 1) snapshots++ })
  await until(() => snapshots > 0, 'it has a new snapshot')
  await send(ann, id, 'four')
  await until(() => contents(bobs, id).at(-1) === 'four', 'it goes on from there')
  expect(bobs.model.unread()).toBe(4)
})

test('a conversation that is in no page of the list is read when its first event comes', async () => {
  const { ann, bob, id } = await pair()
  await send(ann, id, 'one')
  const tables = emptyTables()
  await (await startDevice(echo, bob, { store: createMemoryStore(tables) })).close()
  // As if it had moved up while the list was read.
  tables.conversations.clear()
  tables.messages.clear()
  await send(ann, id, 'two')
  await using bobs = await startDevice(echo, bob, { store: createMemoryStore(tables) })
  await until(() => contents(bobs, id).at(-1) === 'two', 'it is there')
  expect(bobs.model.conversation(id)!.unread_count).toBe(2)
})

test('a page of history that was read before an event, and comes while it is stored, shows what the event did', async () => {
  const { ann, bob, id } = await pair()
  const first = (await send(ann, id, 'one')).body.id
  await send(ann, id, 'two')
  const [list, page] = [
    (await bob.get('/conversations')).body, (await bob.get(`/conversations/${id}/messages`)).body
  ]
  await ann.delete(`/messages/${first}`)
  const { epoch, events } = (await bob.get(`/inbox?after=${list.inbox.last_seq}`)).body
  const memory = createMemoryStore()
  let store = (): void => {}
  const stored = new Promise<void>(resolve => { store = resolve })
  let writes = 0
  const keeper = await openKeeper(bob.id, {
    ...memory,
    async write (changes) {
      if (++writes > 1) await stored
      await memory.write(changes)
    }
  }, () => {})
  await keeper.commit(saved => withSnapshot(saved, { ...list, epoch, seq: list.inbox.last_seq }))
  const rest: Pick<Rest, 'request'> = { request: async () => page }
  const history = createHistory({
    keeper, rest, backoff: { minMs: 0, maxMs: 0 } as never, random: Math.random
  })
  const sync = createSync({ keeper, rest, deviceId: 'device', ...history, restarted () {} })
  const received = sync.receive({ epoch, ...events[0] })
  const loading = history.loadOlder(id)
  await until(() => writes === 2, 'the event is being stored')
  store()
  await Promise.all([loading, received])
  expect(keeper.saved.copy.conversations.get(id)!.messages.get(first)).toMatchObject({ content: null })
})

test('a page of history that was read before a snapshot is not added to it', async () => {
  const { ann, bob, id } = await pair()
  const first = (await send(ann, id, 'one')).body.id
  await send(ann, id, 'two')
  const list = async () => (await bob.get('/conversations')).body
  const before = await list()
  const page = (await bob.get(`/conversations/${id}/messages`)).body
  await ann.delete(`/messages/${first}`)
  const keeper = await openKeeper(bob.id, createMemoryStore(), () => {})
  const { epoch, last_seq: seq } = before.inbox
  await keeper.commit(saved => withSnapshot(saved, { ...before, epoch, seq }))
  let answer = (_: unknown): void => {}
  const answered = new Promise<any>(resolve => { answer = resolve })
  const rest: Pick<Rest, 'request'> = {
    request: async (method, path) => path.includes('/messages') ? await answered : await list() as any
  }
  const history = createHistory({
    keeper, rest, backoff: { minMs: 0, maxMs: 0 } as never, random: Math.random
  })
  const sync = createSync({ keeper, rest, deviceId: 'device', ...history, restarted () {} })
  const loading = history.loadOlder(id)
  await sync.receive({ type: 'resync_required', epoch, seq: 0 } as never)
  answer(page)
  await loading
  expect([...keeper.saved.copy.conversations.get(id)!.messages.values()].map(({ content }) => content))
    .toEqual(['two'])
})

test('what is under way when a client is closed changes its store no more', async () => {
  const { ann, bob, id } = await pair()
  await send(ann, id, 'one')
  await send(ann, id, 'two')
  const store = createMemoryStore()
  const bobs = await startDevice(echo, bob, { store })
  let release = (): void => {}
  const held = new Promise<void>(resolve => { release = resolve })
  const original = globalThis.fetch
  const fetched = vi.spyOn(globalThis, 'fetch').mockImplementation(async (url, init) => {
    const answer = await original(url, init)
    if (String(url).includes('/messages?')) await held
    return answer
  })
  const loading = bobs.loadOlder(id)
  await until(() => fetched.mock.calls.some(([url]) => String(url).includes('/messages?')), 'it is asked')
  await bobs.close()
  const written = vi.spyOn(store, 'write')
  release()
  await expect(loading).rejects.toMatchObject({ code: 'closed' })
  expect(written).not.toHaveBeenCalled()
  fetched.mockRestore()
})

test('a page of history that is older than an event on the way shows what the event told', async () => {
  const { ann, bob, id } = await pair()
  const first = (await send(ann, id, 'one')).body.id as string
  await send(ann, id, 'two')
  await using bobs = await startDevice(echo, bob)
  const request = globalThis.fetch
  // The answer waits until the edit has been applied.
  globalThis.fetch = async (...args) => {
    const response = await request(...args)
    if (!String(args[0]).includes('before_id')) return response
    await ann.patch(`/messages/${first}`, { content: 'edited' })
    await edited
    return response
  }
  const edited = new Promise<void>(resolve => {
    bobs.on('event', ({ type }) => { if (type === 'message_edited') resolve() })
  })
  try {
    await bobs.loadOlder(id)
  } finally {
    globalThis.fetch = request
  }
  expect(contents(bobs, id)).toEqual(['edited', 'two'])
})

test('a deleted message among those that are only counted is no longer counted', async () => {
  const { ann, bob, id } = await pair()
  const first = (await send(ann, id, 'one')).body.id as string
  for (let i = 0; i < 5; i++) await send(ann, id, `message ${i}`)
  await using bobs = await startDevice(echo, bob)
  expect(bobs.model.unread()).toBe(6)
  await ann.delete(`/messages/${first}`)
  await until(() => bobs.model.unread() === 5, 'it is counted no more')
})

test('a count that a broken request left uncertain is made certain, though no event comes', async () => {
  const { ann, bob, id } = await pair()
  const first = (await send(ann, id, 'one')).body.id as string
  for (let i = 0; i < 5; i++) await send(ann, id, `message ${i}`)
  await using network = await startNetwork({ api: echo.api.url, mqttPort: echo.mqttPort })
  const through = { api: { ...echo.api, url: network.api }, mqttPort: network.mqttPort }
  await using bobs = await startDevice(through, bob)
  const deleted = new Promise<void>(resolve => bobs.on('event', () => resolve()))
  // More than one: drafts may be asked for at the same time.
  for (let i = 0; i < 4; i++) network.cutAfter('rest', 'down', 1)
  await ann.delete(`/messages/${first}`)
  await deleted
  await until(() => bobs.model.unread() === 5, 'it is counted no more')
})

test('a count that becomes uncertain while another one is made certain is not forgotten', async () => {
  const { ann, bob, id } = await pair()
  const others = [id, await group(ann, bob), await group(ann, bob)]
  const firsts: string[] = []
  for (const conversation of others) {
    firsts.push((await send(ann, conversation, 'one')).body.id)
    await send(ann, conversation, 'two')
  }
  await using network = await startNetwork({ api: echo.api.url, mqttPort: echo.mqttPort })
  const through = { api: { ...echo.api, url: network.api }, mqttPort: network.mqttPort }
  await using bobs = await startDevice(through, bob)
  // The first page is under way until all events have come.
  network.lag('rest', 300)
  for (const message of firsts) await ann.delete(`/messages/${message}`)
  await until(() => bobs.model.unread() === 3, 'only what is there is counted')
})
