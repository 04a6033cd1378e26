import { asc, sql } from 'drizzle-orm'
import pino from 'pino'
import { expect, test } from 'vitest'
import { expire, KEPT_MS } from '../../../messaging/log/retention.ts'
import { createInboxLog } from '../../../messaging/log/read.ts'
import { readStatus } from '../../../messaging/messages/history.ts'
import { startMessaging, type Messaging } from '../../../messaging/start.ts'
import { openDatabase } from '../../../store/database.ts'
import { delivery_status, devices, inbox_events } from '../../../migrations/schema.ts'
import { createDatabase } from '../../support/database.ts'
import { range } from '../../support/phone.ts'
import { SECRET } from '../../support/tokens.ts'

const log = pino({ level: 'silent' })

async function startOnDatabase (): Promise<Messaging & AsyncDisposable> {
  const created = await createDatabase()
  const database = openDatabase(created.url)
  const messaging = await startMessaging({
    database, authentication: { key: { kind: 'secret', secret: SECRET } }, graceMs: 10_000, log
  })
  return {
    ...messaging,
    async [Symbol.asyncDispose] () {
      await messaging[Symbol.asyncDispose]()
      await database[Symbol.asyncDispose]()
      await created[Symbol.asyncDispose]()
    }
  }
}

async function sendMany (messaging: Messaging, count: number): Promise<void> {
  const { conversation } =
    await messaging.conversations.create('alice', { type: 'direct', participant_ids: ['bob'] })
  await Promise.all(range(1, count).map(n => messaging.sends.send({
    senderId: 'alice',
    draft: {
      conversation_id: conversation.id, content: `message ${n}`, message_type: 'text'
    }
  })))
}

const old = sql`now() - interval '31 days'`

test('events older than 30 days go from the beginning of a log, and who is behind them is told to resync', async () => {
  await using messaging = await startOnDatabase()
  const { database } = messaging
  await sendMany(messaging, 20)
  // Clocks of two writers disagreed: seq 11 claims to be younger than seq 12.
  await database.autocommit.orm.update(inbox_events).set({ created_at: old })
    .where(sql`seq <= 12 and seq <> 11`)
  const removed = await expire({ database, log, now: Date.now })

  expect(removed.events).toBe(24)
  for (const userId of ['alice', 'bob']) {
    const events = await messaging.inboxLog.after(userId, 5, 100)
    expect(events.map(event => event.seq)).toEqual(range(12, 21))
    expect(events[0]!.body.type).toBe('resync_required')
    expect((await messaging.inboxLog.after(userId, 12, 100)).map(event => event.body.type)).not.toContain(
      'resync_required'
    )
  }
})

test('a log of which nothing is kept tells a device behind it to resync, and nothing to one at its end', async () => {
  await using messaging = await startOnDatabase()
  await sendMany(messaging, 3)
  await expire({ database: messaging.database, log, now: () => Date.now() + KEPT_MS + 60_000 })
  const behind = await messaging.inboxLog.after('bob', 1, 100)
  expect(behind.map(({ seq, body }) => [seq, body.type])).toEqual([[4, 'resync_required']])
  expect(await messaging.inboxLog.after('bob', 4, 100)).toEqual([])
})

test('an event that is committed while the log is read is no reason to resync', async () => {
  await using messaging = await startOnDatabase()
  const { autocommit: reads } = messaging.database
  let looked = false
  const log = createInboxLog({
    orm: reads.orm,
    async rows (statement, values) {
      const rows = await reads.rows<never>(statement, values)
      if (!looked) await sendMany(messaging, 1)
      looked = true
      return rows
    }
  }, () => messaging.epoch)
  expect((await log.after('bob', 0, 100)).map(({ seq, body }) => [seq, body.type])).toEqual([
    [1, 'conversation_created'], [2, 'new_message']
  ])
})

test('cursors and sessions of devices not seen for 30 days go, push tokens stay', async () => {
  await using messaging = await startOnDatabase()
  const { database } = messaging
  await sendMany(messaging, 1)
  await database.autocommit.orm.insert(devices).values([
    { user_id: 'bob', device_id: 'lost', acked_seq: 1, last_seen_at: old },
    {
      user_id: 'bob',
      device_id: 'sleeping',
      acked_seq: 1,
      subscriptions: [],
      platform: 'ios',
      push_token: 'token',
      last_seen_at: old
    },
    { user_id: 'bob', device_id: 'in-use', acked_seq: 1 }
  ])
  expect((await expire({ database, log, now: Date.now })).devices).toBe(2)
  const left = await database.autocommit.orm.select().from(devices).orderBy(devices.device_id)
  expect(left.map(device => [device.device_id, device.acked_seq, device.push_token])).toEqual([
    ['in-use', 1, null], ['sleeping', null, 'token']
  ])
})

test('of old receipts the last stays, and says that it is not known when earlier messages were read', async () => {
  await using messaging = await startOnDatabase()
  const { database } = messaging
  await sendMany(messaging, 3)
  const ids = (await messaging.inboxLog.after('bob', 1, 100)).map(({ body }) => body.delivers!.message_id)
  for (const messageId of ids) await messaging.readReceipts.read({ readerId: 'bob', messageId })
  await database.autocommit.orm.update(delivery_status).set({ at: old }).where(sql`up_to_seq <= 2`)
  expect((await expire({ database, log, now: Date.now })).marks).toBe(2)

  const kept = await database.autocommit.orm.select().from(delivery_status).orderBy(
    asc(delivery_status.status), asc(delivery_status.up_to_seq))
  expect(kept.map(({ status, up_to_seq }) => [status, up_to_seq])).toEqual([
    ['delivered', 2], ['delivered', 3], ['read', 2], ['read', 3]
  ])
  const statuses = await Promise.all(ids.map(id => readStatus(database.autocommit, 'alice', id)))
  expect(statuses.map(({ status, recipients }) => [status, recipients[0]!.read_at !== null])).toEqual([
    ['read', false], ['read', false], ['read', true]
  ])
})

test('a job that fails leaves the others theirs, and is done the next time', async () => {
  await using messaging = await startOnDatabase()
  const { database } = messaging
  await sendMany(messaging, 1)
  await database.autocommit.orm.update(inbox_events).set({ created_at: old })
  await database.autocommit.orm.insert(devices).values(
    { user_id: 'bob', device_id: 'lost', acked_seq: 1, last_seen_at: old })
  await database.autocommit.orm.execute(sql`
    create function refuse () returns trigger language plpgsql as $$ begin raise 'not now'; end $$`)
  await database.autocommit.orm.execute(sql`
    create trigger refuse before delete on inbox_events execute function refuse()`)
  expect(await expire({ database, log, now: Date.now })).toEqual({ events: 0, marks: 0, devices: 1 })
  await database.autocommit.orm.execute(sql`drop trigger refuse on inbox_events`)
  expect((await expire({ database, log, now: Date.now })).events).toBe(4)
})

test('of several processes one walks in each hour', async () => {
  await using messaging = await startOnDatabase()
  const { database } = messaging
  await sendMany(messaging, 2)
  await expire({ database, log, now: Date.now })
  await database.autocommit.orm.update(inbox_events).set({ created_at: old })
  expect((await expire({ database, log, now: Date.now })).events).toBe(0)
  expect((await expire({ database, log, now: () => Date.now() + 3_600_000 })).events).toBe(6)
})

test('a job goes on in its next time where its last one ended', async () => {
  await using messaging = await startOnDatabase()
  const { database } = messaging
  await Promise.all(range(1, 6).map(n =>
    messaging.conversations.create(`user-${n}`, { type: 'direct', participant_ids: [`friend-${n}`] })))
  await database.autocommit.orm.update(inbox_events).set({ created_at: old })
  let times = 0
  for (let left = 12; left > 0; times++) {
    const { events } = await expire({
      database, log, now: Date.now, piece: { owners: 2, rows: 100 }, jobMs: 0
    })
    left -= events
  }
  // Two users have an event each in a piece; a piece that removed something is looked at once more.
  expect(times).toBeGreaterThan(6)
  expect(times).toBeLessThan(30)
})
