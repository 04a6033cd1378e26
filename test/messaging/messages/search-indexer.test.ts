/** Old messages are indexed for search behind the sends, whatever comes in between. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import pino from 'pino'
import { startSearchIndexer } from '../../../messaging/messages/search-indexer.ts'
import { indexMessages } from '../../../store/messages/search-index.ts'
import { LOOKED_THROUGH } from '../../../store/messages/search.ts'
import { startTestBroker, type TestBroker } from '../../support/broker.ts'
import { until } from '../../support/until.ts'

/** So many come behind what is looked for that search does not look through it itself. */
const BEHIND = LOOKED_THROUGH + 200

let broker: TestBroker
beforeAll(async () => { broker = await startTestBroker() })
afterAll(() => broker[Symbol.asyncDispose]())

const found = async (query: string, reader = 'bob'): Promise<string[]> =>
  (await broker.messaging.search.search(reader, { query, limit: 50 }))
    .messages.map(message => String(message.content))

async function wordsOf (messageId: string): Promise<string | undefined> {
  const [row] = await broker.sql('select words::text from message_words where message_id = $1', messageId)
  return row?.words
}

const talk = async (conversation: string, count: number): Promise<void> => {
  const lines = Array.from({ length: count }, (_, i) => `chatter ${i}`)
  await Promise.all(lines.map(line => broker.say('alice', conversation, line)))
}

test('a message is found at once, and still when a thousand others came behind it', async () => {
  const conversation = await broker.direct('alice', 'bob')
  const message = await broker.say('alice', conversation, 'a periwinkle')
  expect(await found('periwinkle')).toEqual(['a periwinkle'])
  expect(await wordsOf(message.id)).toBeUndefined()
  await talk(conversation, BEHIND)
  await until(async () => await wordsOf(message.id), 'it is indexed')
  expect(await found('periwinkle')).toEqual(['a periwinkle'])
  expect(await found('periwinkle -a')).toEqual([])
})

test('an indexed message is found by what it says now, and a deleted one leaves no words', async () => {
  const conversation = await broker.direct('carol', 'bob')
  const [edited, deleted] =
    [await broker.say('carol', conversation, 'chartreuse'), await broker.say('carol', conversation, 'mauve')]
  await broker.messaging.database.transact(tx => indexMessages(tx, conversation, 10))
  expect(await wordsOf(deleted!.id)).toBe("'mauve':1")
  await broker.messaging.messageChanges.edit('carol', edited!.id, { content: 'cerulean' })
  await broker.messaging.messageChanges.delete('carol', deleted!.id)
  expect([await wordsOf(edited!.id), await wordsOf(deleted!.id)]).toEqual(["'cerulean':1", ''])
})

test.each([
  ['edited', 'edit', "'after':1"], ['deleted', 'delete', '']
] as const)('a message that is %s while it is being indexed keeps no old words', async (_, change, words) => {
  const conversation = await broker.direct('dave', change)
  const message = await broker.say('dave', conversation, 'before')
  // Holds up the end of the change, so that the indexer looks before it and writes after it.
  const blocker = await broker.connect()
  try {
    await blocker.query('begin')
    await blocker.query('lock table inbox_events in share mode')
    const changing: Promise<unknown> = change === 'edit'
      ? broker.messaging.messageChanges.edit('dave', message.id, { content: 'after' })
      : broker.messaging.messageChanges.delete('dave', message.id)
    await until(async () => (await waiting()) === 1, 'the change has written and waits')
    const indexing = broker.messaging.database.transact(tx => indexMessages(tx, conversation, 10))
    await until(async () => (await waiting()) === 2, 'the indexer waits for it')
    await blocker.query('rollback')
    await Promise.all([changing, indexing])
  } finally {
    blocker.release()
  }
  expect(await wordsOf(message.id)).toBe(words)
})

const waiting = async (): Promise<number> => (await broker.sql<{ count: number }>(
  `select count(*)::int as count from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock'`))[0]!.count

/** Messages that no process has heard of; the fifth has this word. */
async function fill (conversation: string, count: number, word: string): Promise<void> {
  await broker.sql(
    `insert into messages (id, conversation_id, seq, sender_user_id, content, message_type, created_at)
     select (left($1::uuid::text, 24) || lpad(to_hex(s), 12, '0'))::uuid, $1::uuid, s, 'alice',
            case when s = 5 then $3 else 'filler' end, 'text', now()
       from generate_series(1, $2::int) s`, conversation, count, word)
  await broker.sql(
    `update conversations
        set last_seq = $2, message_count = $2, last_message_at = now(),
            last_message_id = (select id from messages where conversation_id = $1 and seq = $2)
      where id = $1`, conversation, count)
}

test('what was stored while no process could index it is indexed when one starts, once it can', async () => {
  const conversation = await broker.direct('erin', 'bob')
  await fill(conversation, BEHIND + 1_000, 'vermilion')
  const { database } = broker.messaging
  const logged: string[] = []
  const log = pino({ level: 'debug' }, { write: (line: string) => { logged.push(line) } })
  const restore = await broker.cutDatabase()
  const indexer = startSearchIndexer({ database, log })
  try {
    await until(() => logged.length > 0, 'it cannot index')
    await restore()
    await until(async () => await wordsOf(await fifth(conversation)), 'the message is indexed')
  } finally {
    await indexer[Symbol.asyncDispose]()
  }
  expect(await found('vermilion')).toEqual(['vermilion'])
  expect(logged).toHaveLength(1)
})

const fifth = async (conversation: string): Promise<string> =>
  (await broker.sql('select id from messages where conversation_id = $1 and seq = 5', conversation))[0]!.id
