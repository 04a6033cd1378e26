import { afterAll, beforeAll, expect, test } from 'vitest'
import pg from 'pg'
import pino from 'pino'
import { readHistory } from '../../../../messaging/messages/history.ts'
import { startMessaging } from '../../../../messaging/start.ts'
import { openDatabase } from '../../../../store/database.ts'
import { beginErasure } from '../../../../store/erasure/erasures.ts'
import { createDatabase } from '../../../support/database.ts'
import { SECRET, signToken } from '../../../support/tokens.ts'
import { until } from '../../../support/until.ts'
import { type Caller, direct, group, inboxEnd, ISSUER, send, startTestApi, type TestApi } from '../../api.ts'
import { PNG, upload } from '../../attachments/uploads.ts'

let api: TestApi
let root: Caller
let sql: <Row = any>(text: string, ...values: unknown[]) => Promise<Row[]>
let pool: pg.Pool

beforeAll(async () => {
  api = await startTestApi()
  root = await api.user('root', { claims: { scope: 'admin' } })
  pool = new pg.Pool({ connectionString: api.databaseUrl, max: 2 })
  sql = async (text, ...values) => (await pool.query(text, values)).rows
})
afterAll(async () => {
  await pool.end()
  await api[Symbol.asyncDispose]()
})

const erased = async (id: string, by = root): Promise<any> => await until(async () => {
  const { body } = await by.get(`/admin/users/${id}/erasure`)
  return body.status === 'finished' && body
}, 'the erasure is finished')

const events = async (caller: Caller, after: number): Promise<any[]> =>
  (await caller.get(`/inbox?after=${after}&limit=500`)).body.events
const history = async (caller: Caller, id: string): Promise<any[]> =>
  (await caller.get(`/conversations/${id}/messages`)).body.messages

test('an erased user leaves tombstones that others can read around, and nothing else', async () => {
  const [eva, bob, cleo] =
    [await api.user('eva', { claims: { name: 'Eva' } }), await api.user('bob'), await api.user('cleo')]
  const pair = await direct(eva, bob)
  const team = await group(eva, bob, cleo)
  const { body: photo } = await upload(eva, PNG)
  const { body: unsent } = await upload(eva, PNG)
  const { body: said } = await send(
    eva, team, 'secret', { attachment_ids: [photo.id], mentions: [{ user_id: bob.id, offset: 0, length: 1 }] }
  )
  await eva.patch(`/messages/${said.id}`, { content: 'secret, still' })
  const { body: reply } = await send(bob, team, 'a reply', { reply_to_id: said.id })
  const bobs = { user_id: bob.id, offset: 2, length: 1 }
  const mentions = [{ user_id: eva.id, offset: 0, length: 1 }, bobs]
  const { body: greeting } = await send(cleo, team, 'hello both', { mentions })
  const { body: edited } = await send(cleo, team, 'hello eva', { mentions: [mentions[0]] })
  await cleo.patch(`/messages/${edited.id}`, { content: 'hello', mentions: [] })
  await eva.post(`/messages/${edited.id}/read`)
  await eva.put(`/messages/${reply.id}/reactions/👍`)
  await cleo.put(`/messages/${said.id}/reactions/👍`)
  const { body: direction } = await send(eva, pair, 'between us')
  await eva.put('/devices/phone', { platform: 'android', push_token: `token-${eva.id}` })
  await eva.put(`/blocks/${cleo.id}`)
  await eva.put(`/conversations/${team}/draft`, { content: 'not sent' })
  const { body: avatar } = await upload(eva, PNG)
  await eva.put('/users/me', { avatar: avatar.id })
  const counters = (await sql('select inbox_seq, acked_seq from users where id = $1', eva.id))[0]
  const [bobsEnd, cleosEnd] = [await inboxEnd(bob), await inboxEnd(cleo)]

  const { status, body } = await root.post(`/admin/users/${eva.id}/erase`)
  expect([status, body.status, body.requested_by]).toEqual([202, 'running', root.id])
  expect((await send(eva, team, 'too late')).status).toBe(401)
  expect((await erased(eva.id)).messages_erased).toBe(2)

  for (const [reader, conversation, id] of [
    [cleo, team, said.id], [bob, team, said.id], [bob, pair, direction.id]
  ] as const) {
    expect((await history(reader, conversation)).find(message => message.id === id))
      .toMatchObject({
        content: null,
        mentions: [],
        attachments: [],
        reactions: [],
        edited_at: null,
        deleted_at: expect.any(String),
        sender_user_id: eva.id
      })
  }
  expect((await history(cleo, team)).find(message => message.id === reply.id)).toMatchObject({
    content: 'a reply', reply_to_id: said.id, reactions: []
  })
  expect((await events(cleo, cleosEnd)).map(event =>
    [event.type, event.message_id ?? event.user_id])).toEqual([
    ['participant_removed', eva.id], ['participant_updated', bob.id], ['message_deleted', said.id],
    ['reaction_removed', reply.id], ['message_edited', undefined]
  ])
  expect((await events(bob, bobsEnd)).at(-1)).toMatchObject({
    type: 'message_edited',
    message: { id: greeting.id, content: 'hello both', mentions: [bobs], edited_at: null }
  })
  expect((await history(cleo, team)).find(message => message.id === greeting.id).mentions).toEqual([bobs])
  for (const table of ['messages', 'message_edits']) {
    expect(await sql(`select 1 from ${table} where mentions::text like $1`, `%${eva.id}%`), table).toEqual([])
  }
  const { body: { recipients } } = await cleo.get(`/messages/${edited.id}/status`)
  expect(recipients.find((recipient: any) => recipient.user_id === eva.id)).toEqual({
    user_id: eva.id, status: 'read', delivered_at: null, read_at: null
  })
  expect(await sql('select 1 from delivery_status where user_id = $1', eva.id)).toEqual([])
  expect(await sql(
    'select 1 from conversation_participants where user_id = $1 and last_read_at is not null', eva.id
  )).toEqual([])
  expect((await events(bob, bobsEnd)).filter(event => event.type === 'message_deleted').map(event =>
    event.message_id).sort()).toEqual([said.id, direction.id].sort())
  expect((await bob.get(`/conversations/${team}`)).body.participants
    .map((member: any) => [member.user_id, member.role])
    .sort())
    .toEqual([[bob.id, 'admin'], [cleo.id, 'member']].sort())

  for (const table of ['devices', 'drafts', 'push_due', 'push_reads', 'reactions']) {
    expect(await sql(`select 1 from ${table} where user_id = $1`, eva.id), table).toEqual([])
  }
  expect(await sql('select 1 from blocks where blocker_user_id = $1', eva.id)).toEqual([])
  expect(await sql('select 1 from message_edits where message_id = $1', said.id)).toEqual([])
  expect((await sql('select id from attachments where owner_user_id = $1 and released_at <= now()', eva.id))
    .map(row => row.id)
    .sort())
    .toEqual([photo.id, unsent.id, avatar.id].sort())
  const [user] = await sql('select name, avatar, inbox_seq, acked_seq from users where id = $1', eva.id)
  expect([user.name, user.avatar]).toEqual([null, null])
  expect(Number(user.inbox_seq)).toBeGreaterThan(Number(counters.inbox_seq))
  expect(user.acked_seq).toBe(counters.acked_seq)
  expect((await sql('select type from inbox_events where user_id = $1', eva.id)).map(row =>
    row.type)).toEqual(['resync_required'])
  const { body: { entries } } = await root.get(`/admin/audit-log?user_id=${eva.id}`)
  expect(entries.map((entry: any) => entry.action)).toEqual(['erase_finished', 'erase'])
})

test('a later user of the same id begins anew, also in an old direct conversation', async () => {
  const [fay, bob] = [await api.user('fay', { claims: { name: 'Fay' } }), await api.user('bob')]
  const pair = await direct(fay, bob)
  await send(bob, pair, 'for the first fay')
  await root.post(`/admin/users/${fay.id}/erase`)
  await erased(fay.id)
  expect((await fay.get('/users/me')).status).toBe(401)
  expect((await sql('select name from users where id = $1', fay.id))[0].name).toBeNull()

  const again =
    api.anonymous(await signToken(fay.id, { issuer: ISSUER, issuedAt: Math.ceil(Date.now() / 1000) + 1 }))
  expect((await again.get('/conversations')).body.conversations).toEqual([])
  const { status, body } = await again.post('/conversations', { type: 'direct', participant_ids: [bob.id] })
  expect([status, body.id, body.participants.length]).toEqual([200, pair, 2])
  expect(await history(again, pair)).toEqual([])
  await send(bob, pair, 'for the second fay')
  expect((await history(again, pair)).map(message => message.content)).toEqual(['for the second fay'])
})

test('an erasure that its process did not finish is finished by the next one', async () => {
  await using file = await createDatabase()
  await using database = openDatabase(file.url)
  const start = (erasureSettleMs: number) => startMessaging({
    database,
    authentication: {
      key: { kind: 'secret', secret: SECRET }
    },
    graceMs: 10_000,
    erasureSettleMs,
    log: pino({ level: 'silent' })
  })
  const first = await start(3_600_000)
  const { conversation: { id } } =
    await first.conversations.create('gus', { type: 'direct', participant_ids: ['bob'] })
  const { message } = await first.sends.send({
    senderId: 'gus', draft: { conversation_id: id, content: 'to be forgotten', message_type: 'text' }
  })
  await first.erasures.request('root', 'gus')
  const step = async () => (await database.autocommit.rows<{ step: string }>(
    { name: 'test_step', text: 'select step from erasures where due_at > now()' }, []
  ))[0]?.step
  await until(async () => await step() === 'messages', 'gus has left, and the rest is put off')
  await first[Symbol.asyncDispose]()

  await database.autocommit.rows({ name: 'test_due', text: 'update erasures set due_at = now()' }, [])
  await using next = await start(0)
  await until(async () => (await next.erasures.find('gus')).finished_at !== null, 'it is finished')
  expect((await readHistory(database.autocommit, 'bob', id, { limit: 1 })).messages).toMatchObject([
    { id: message.id, content: null }
  ])
})

test('what a process asks for that dies at once is done by another one, which was told nothing', async () => {
  await using file = await createDatabase()
  await using database = openDatabase(file.url)
  await using other = await startMessaging({
    database,
    authentication: { key: { kind: 'secret', secret: SECRET } },
    graceMs: 10_000,
    erasureSettleMs: 0,
    log: pino({ level: 'silent' })
  })
  await other.conversations.create('gus', { type: 'direct', participant_ids: ['bob'] })
  await database.transact(tx => beginErasure(tx, 'gus', 'root'))
  await until(async () => (await other.erasures.find('gus')).finished_at !== null, 'it is finished')
})

test('many messages go in pieces of a bounded size, and a bystander\'s stay', async () => {
  const [hal, bob, ida] = [await api.user('hal'), await api.user('bob'), await api.user('ida')]
  const team = await group(hal, bob, ida)
  await send(bob, team, 'of a bystander')
  await sql(`
    insert into messages (id, conversation_id, seq, sender_user_id, content, message_type, created_at)
    select gen_random_uuid(), $1, n, $2, 'message ' || n, 'text', now()
      from generate_series(2, 3001) n`, team, hal.id)
  await sql('update conversations set last_seq = 3001 where id = $1', team)
  await root.post(`/admin/users/${hal.id}/erase`)
  expect((await erased(hal.id)).messages_erased).toBe(3_000)
  expect(
    await sql('select content from messages where conversation_id = $1 and content is not null', team)
  ).toEqual([{ content: 'of a bystander' }])
  const [{ largest, told }] = await sql(`select max(n)::int as largest, sum(n)::int as told from (
    select count(*) as n from inbox_events
     where conversation_id = $1 and type = 'message_deleted' group by created_at) as pieces`, team)
  expect(told).toBe(6_000)
  expect(largest).toBeLessThanOrEqual(2_000)
})
