/** Two people with the library: what one does, the other sees. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createMemoryStore, type Client } from '../../client/index.ts'
import { emptyTables } from '../../client/store/store.ts'
import { direct, group } from '../api/api.ts'
import { startEcho, type Echo } from '../model/world.ts'
import { range } from '../support/phone.ts'
import { until } from '../support/until.ts'
import { startDevice } from './devices.ts'
import { startNetwork } from './network.ts'

let echo: Echo

beforeAll(async () => { echo = await startEcho() })
afterAll(async () => { await echo[Symbol.asyncDispose]() })

async function pair () {
  const [ann, bob] = [await echo.api.user('ann', { claims: { name: 'Ann' } }), await echo.api.user('bob')]
  for (const user of [ann, bob]) await user.get('/users/me')
  return { ann, bob }
}

test('a message is waiting, sent, delivered and read, and is shown once all the time', async () => {
  const { ann, bob } = await pair()
  const id = await direct(ann, bob)
  await using anns = await startDevice(echo, ann)
  await using bobs = await startDevice(echo, bob)
  const ticks: unknown[] = []
  anns.on('change', () => { ticks.push(anns.model.messages(id).map(message => message.tick).join()) })
  bobs.on('message', message => { bobs.read(message.id).catch(() => {}) })
  await anns.send({ conversation_id: id, content: 'hello' })
  await until(() => anns.model.messages(id)[0]?.tick === 'read', 'the message is read')
  expect([...new Set(ticks)].filter(tick => tick !== '')).toEqual(['waiting', 'sent', 'delivered', 'read']
    .filter(tick => ticks.includes(tick)))
  expect(ticks).toContain('waiting')
  expect(bobs.model.messages(id)).toMatchObject([{ content: 'hello', own: false, tick: null }])
  expect(bobs.model.conversation(id)).toMatchObject({ unread_count: 0, partner_id: ann.id })
  expect(anns.model.outbox()).toEqual([])
})

test('edits, reactions and deletions of one are seen by both', async () => {
  const { ann, bob } = await pair()
  await using anns = await startDevice(echo, ann)
  await using bobs = await startDevice(echo, bob)
  const { id } = await anns.createConversation({ type: 'direct', participant_ids: [bob.id] })
  await anns.send({ conversation_id: id, content: 'helo' })
  const message = await until(() => bobs.model.messages(id)[0], 'bob has the message')
  await until(() => anns.model.messages(id)[0]?.id, 'ann knows its id')
  await bobs.react(message.id!, '👍')
  await anns.edit(message.id!, 'hello')
  for (const client of [anns, bobs]) {
    await until(() => client.model.messages(id)[0]?.content === 'hello' &&
      client.model.messages(id)[0]?.reactions[0]?.emoji === '👍' && client.model.outbox().length === 0,
    'both see both')
  }
  await bobs.react(message.id!, '👍', false)
  await anns.unsend(message.id!)
  for (const client of [anns, bobs]) {
    await until(() => client.model.messages(id)[0]!.deleted_at !== null &&
      client.model.outbox().length === 0, 'both see the tombstone')
  }
})

test('typing and presence are told, and end with the connection', async () => {
  const { ann, bob } = await pair()
  const id = await direct(ann, bob)
  await using anns = await startDevice(echo, ann)
  await using bobs = await startDevice(echo, bob)
  anns.watchPresence([bob.id])
  await until(() => anns.model.presence(bob.id)?.online, 'ann sees bob online')
  bobs.typing(id, true)
  await until(() => anns.model.conversation(id)!.typing.includes(bob.id), 'ann sees bob typing')
  bobs.typing(id, false)
  await until(() => anns.model.conversation(id)!.typing.length === 0, 'ann sees that bob has stopped')
  anns.setOnline(false)
  await until(() => anns.model.connection.phase === 'off', 'ann is off')
  expect(anns.model.presence(bob.id)).toBeUndefined()
})

test('what is written while switched off goes out when switched on, in order', async () => {
  const { ann, bob } = await pair()
  const id = await direct(ann, bob)
  await using anns = await startDevice(echo, ann)
  await using bobs = await startDevice(echo, bob)
  anns.setOnline(false)
  const texts = Array.from({ length: 30 }, (_, i) => `message ${i}`)
  for (const content of texts) await anns.send({ conversation_id: id, content })
  expect(anns.model.messages(id).map(message => message.tick)).toEqual(texts.map(() => 'waiting'))
  expect(anns.model.conversation(id)).toMatchObject({ waiting: 30, last_message: { content: 'message 29' } })
  anns.setOnline(true)
  await until(() => bobs.model.messages(id).length === 30, 'bob has them')
  expect(bobs.model.messages(id).map(message => message.content)).toEqual(texts)
  expect(bobs.model.unread()).toBe(30)
})

test('a message that is refused says why, and goes out when it is sent again after the reason is gone', async () => {
  const { ann, bob } = await pair()
  const id = await group(ann, bob)
  const allow = (can_send_messages: boolean) =>
    ann.patch(`/conversations/${id}/participants/${bob.id}`, { can_send_messages })
  await allow(false)
  await using bobs = await startDevice(echo, bob)
  const key = await bobs.send({ conversation_id: id, content: 'hello' })
  await until(() => bobs.model.messages(id)[0]?.tick === 'failed', 'it is refused')
  expect(bobs.model.messages(id)[0]!.error!.code).toBe('sending_not_allowed')
  await allow(true)
  await bobs.retry(key)
  await until(() => bobs.model.messages(id)[0]?.tick === 'sent', 'it is sent')
})

test('a file is uploaded with progress, sent, and read by the other', async () => {
  const { ann, bob } = await pair()
  const id = await direct(ann, bob)
  await using anns = await startDevice(echo, ann)
  await using bobs = await startDevice(echo, bob)
  const text = 'a file of plain text. '.repeat(20_000)
  const progress: number[] = []
  const onProgress = (part: number): void => { progress.push(part) }
  const file = await anns.upload(new Blob([text]), { name: 'notes.txt', onProgress })
  expect(progress.length).toBeGreaterThan(2)
  expect(progress.at(-1)).toBe(1)
  await anns.send({ conversation_id: id, content: 'read this', attachments: [file] })
  const received = await until(() => bobs.model.messages(id)[0], 'bob has it')
  expect(await (await bobs.attachment(received.attachments[0]!.id)).text()).toBe(text)
})

test('it closes though nothing comes through any more, and what it wrote is kept', async () => {
  const { ann, bob } = await pair()
  const id = await direct(ann, bob)
  await using network = await startNetwork({ api: echo.api.url, mqttPort: echo.mqttPort })
  const tables = emptyTables()
  const through = { api: { ...echo.api, url: network.api }, mqttPort: network.mqttPort }
  const anns = await startDevice(through, ann, { store: createMemoryStore(tables), keepaliveS: 600 })
  network.freeze()
  await anns.send({ conversation_id: id, content: 'into the void' })
  await anns.close()
  await using again = await startDevice(echo, ann, { store: createMemoryStore(tables) })
  await until(() => again.model.messages(id)[0]?.tick === 'sent', 'it is sent')
})

test('in a direct conversation an own message reads what the other wrote before it, no more', async () => {
  const { ann, bob } = await pair()
  const id = await direct(ann, bob)
  const mark = ({ model, userId }: Client) =>
    model.conversation(id)!.participants.find(({ user_id }) => user_id === userId)!.last_read_seq
  await using bobs = await startDevice(echo, bob)
  await using anns = await startDevice(echo, ann)
  await anns.send({ conversation_id: id, content: 'nothing is unread' })
  const first = await until(() => anns.model.messages(id)[0]?.id, 'it is sent')
  await anns.read(first)
  await until(() => anns.model.outbox().length === 0, 'the receipt is out')
  expect(mark(anns)).toBe(0)
  for (const content of ['one', 'two']) await bobs.send({ conversation_id: id, content })
  await until(() => anns.model.conversation(id)!.unread_count === 2, 'two are unread')
  await anns.send({ conversation_id: id, content: 'an answer' })
  await until(() => anns.model.messages(id)[3]?.id, 'the answer is sent')
  // As of a device that holds the answer only.
  await using tablet = await startDevice(echo, ann, { deviceId: 'tablet' })
  await tablet.read(tablet.model.messages(id)[0]!.id!)
  for (const client of [tablet, anns]) {
    await until(() => mark(client) === 3 && client.model.unread() === 0, 'what bob wrote is read')
  }
  expect((await ann.get(`/conversations/${id}`)).body).toMatchObject({ unread_count: 0 })
})

test('older messages are a page away, and unread ones among them are counted once', async () => {
  const { ann, bob } = await pair()
  const id = await direct(ann, bob)
  for (let i = 1; i <= 120; i++) {
    await ann.post('/messages', { conversation_id: id, content: `message ${i}`, message_type: 'text' })
  }
  await using bobs = await startDevice(echo, bob)
  expect(bobs.model.messages(id)).toHaveLength(1)
  expect(bobs.model.conversation(id)).toMatchObject({ unread_count: 120, has_older: true })
  expect(await bobs.loadOlder(id)).toBe(true)
  expect(bobs.model.conversation(id)!.unread_count).toBe(120)
  while (await bobs.loadOlder(id));
  expect(bobs.model.messages(id).map(message => message.seq)).toEqual(range(1, 120))
  expect(bobs.model.conversation(id)).toMatchObject({ unread_count: 120, has_older: false })
  const found = await bobs.search('message 77')
  await bobs.read(found.messages.find(({ seq }) => seq === 77)!.id)
  await until(() => bobs.model.conversation(id)!.unread_count === 43, 'those after it are unread')
})
