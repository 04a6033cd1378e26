/** What a page of the conversation list reads, when its conversations are long. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { conversationViews } from '../../../store/conversations/views.ts'
import { openDatabase, type Database } from '../../../store/database.ts'
import { createDatabase, runSql, type TestDatabase } from '../../support/database.ts'

const MESSAGES = Number(process.env.MESSAGES ?? 20_000)
/** Pages of 8 kB for a conversation: the newest 2,000 messages, its participants and the message shown. */
const MAX_PAGES = 150

/** Who reads, and what nearly all of the conversation's messages are to them. */
const CONVERSATIONS = [
  { reader: 'never-read', sender: 'other', flags: 'false, null' },
  { reader: 'has-read', sender: 'other', flags: 'false, null', read: MESSAGES },
  { reader: 'own', sender: 'own', flags: 'false, null' },
  { reader: 'deleted', sender: 'other', flags: 'false, now()' },
  { reader: 'hidden-end', sender: 'other', flags: 'true, null', shown: 1 },
  { reader: 'hidden-middle', sender: 'other', flags: 'true, null' }
]

let file: TestDatabase
let database: Database

beforeAll(async () => {
  file = await createDatabase()
  database = openDatabase(file.url)
  const statements = CONVERSATIONS.map(({ reader, sender, flags, read = 0, shown }, i) => `
    insert into users (id) values ('${reader}') on conflict do nothing;
    insert into conversations (id, type, last_seq, last_activity_at)
    values ('${id(i)}', 'direct', ${MESSAGES}, now());
    insert into conversation_participants
           (conversation_id, user_id, joined_at, joined_seq, last_read_seq, shown_seq, shown_at)
    values ('${id(i)}', '${reader}', now(), 0, ${read}, ${shown ?? 'null'}, ${shown ? 'now()' : 'null'}),
           ('${id(i)}', 'other', now(), 0, 0, null, null);
    insert into messages
           (id, conversation_id, seq, sender_user_id, content, message_type, created_at, hidden, deleted_at)
    select gen_random_uuid(), '${id(i)}', s, '${sender}', 'what is said in message ' || s, 'text', now(),
           ${flags}
      from generate_series(1, ${MESSAGES}) s;
    update messages
       set hidden = false, deleted_at = null
     where conversation_id = '${id(i)}' and seq in (1, ${MESSAGES});`)
  await runSql(file.url, `insert into users (id) values ('other'); ${statements.join('')}`)
  await runSql(file.url, 'vacuum analyze')
})
afterAll(async () => {
  await database[Symbol.asyncDispose]()
  await file[Symbol.asyncDispose]()
})

const id = (i: number): string => `00000000-0000-7000-8000-00000000000${i}`

const viewed = (reader: string) =>
  [{ conversationId: id(CONVERSATIONS.findIndex(of => of.reader === reader)), userId: reader }]

test.each(CONVERSATIONS.map(({ reader }) =>
  reader))('the list of %s reads no more than the end of the conversation', async reader => {
  const plans: any[] = []
  const explaining = {
    orm: database.autocommit.orm,
    async rows ({ name, text }: { name: string, text: string }, values: unknown[]) {
      plans.push(...await database.autocommit.rows<any>(
        { name: `explain_${name}`, text: `explain (analyze, buffers, format json) ${text}` }, values
      ))
      return []
    }
  }
  await conversationViews(explaining as typeof database.autocommit, viewed(reader))
  const [{ Plan: plan, 'Execution Time': ms }] = plans[0]['QUERY PLAN']
  const pages = plan['Shared Hit Blocks'] + plan['Shared Read Blocks']
  if (process.env.MESSAGES !== undefined) console.log(reader, { pages, ms })
  expect(JSON.stringify(plan)).toContain('messages_conversation_seq_unique')
  expect(pages).toBeLessThan(MAX_PAGES)
})

test.each([
  ['never-read', 1_000, MESSAGES], ['has-read', 0, MESSAGES], ['own', 0, MESSAGES],
  ['deleted', 1, MESSAGES], ['hidden-end', 1, 1], ['hidden-middle', 1, MESSAGES]
])('the list of %s says %i unread and ends with message %i', async (reader, unread, last) => {
  const [conversation] = await conversationViews(database.autocommit, viewed(reader))
  expect([conversation!.unread_count, conversation!.last_seq, conversation!.last_message?.seq]).toEqual([
    unread, last, last
  ])
})
