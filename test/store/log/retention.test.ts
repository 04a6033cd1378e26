/**
 * A log as old as its retention: each day the oldest events went and new ones took their pages, so a summary
 * of what is in a range of pages says that something old may be everywhere.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Executor } from '../../../store/database.ts'
import { expireDevices, expireEvents, expireMarks } from '../../../store/log/retention.ts'
import { createDatabase, runSql, type TestDatabase } from '../../support/database.ts'
import { plansOf } from '../../support/plans.ts'

const USERS = 200
const DAYS = 30
const EVENTS_PER_DAY = 50
/** The table has some 2,650 pages, and its index as many. */
const PAGES = 2_000
const SIZE = { owners: 1_000, rows: 5_000 }

const dawn = (day: number): Date => new Date(Date.UTC(2026, 0, 1 + day))
const filled = (day: number): string => `
  insert into inbox_events (user_id, seq, type, created_at)
  select 'user-' || u, ${(day - 1) * EVENTS_PER_DAY} + n, 'new_message', '${dawn(day).toISOString()}'
    from generate_series(1, ${EVENTS_PER_DAY}) as n, generate_series(1, ${USERS}) as u`

/** Marks of a direct conversation of each user, one a day, and a device. */
const REST = `
  insert into conversations (id, type, last_activity_at)
  select md5('c' || u)::uuid, 'direct', now() from generate_series(1, ${USERS}) as u;
  insert into conversation_participants (conversation_id, user_id, joined_at, joined_seq)
  select md5('c' || u)::uuid, 'user-' || u, now(), 0 from generate_series(1, ${USERS}) as u;
  insert into delivery_status (conversation_id, user_id, status, up_to_seq, at)
  select md5('c' || u)::uuid, 'user-' || u, s, d * 10 + n,
         '${dawn(0).toISOString()}'::timestamptz + d * interval '1 day'
    from generate_series(${DAYS + 1}, ${2 * DAYS}) as d, generate_series(1, 10) as n,
         generate_series(1, ${USERS}) as u, (values ('delivered'), ('read')) as v (s);
  insert into devices (user_id, device_id, last_seen_at)
  select 'user-' || u, 'phone-' || n, '${dawn(2 * DAYS).toISOString()}'
    from generate_series(1, ${USERS}) as u, generate_series(1, 5) as n;
  analyze`

let database: TestDatabase

beforeAll(async () => {
  database = await createDatabase()
  await runSql(
    database.url, `insert into users (id) select 'user-' || n from generate_series(1, ${USERS}) as n`
  )
  for (let day = 1; day <= 2 * DAYS; day++) {
    if (day > DAYS) {
      await runSql(
        database.url, `delete from inbox_events where created_at <= '${dawn(day - DAYS).toISOString()}'`
      )
      await runSql(database.url, 'vacuum inbox_events')
    }
    await runSql(database.url, filled(day))
  }
  await runSql(database.url, REST)
})
afterAll(async () => { await database[Symbol.asyncDispose]() })

const buffersOf = async (work: (db: Executor) => Promise<unknown>): Promise<number[]> =>
  (await plansOf(database.url, work)).map(plan => plan.buffers)

test('where nothing is old, looking for it costs a few pages a user, not the log', async () => {
  const before = dawn(DAYS + 1)
  for (const buffers of await buffersOf(db => expireEvents(db, before, [], SIZE))) {
    expect(buffers).toBeLessThan(PAGES / 2)
  }
  for (const buffers of await buffersOf(db => expireMarks(db, before, [], SIZE))) {
    expect(buffers).toBeLessThan(10 * USERS)
  }
  for (const buffers of await buffersOf(db => expireDevices(db, before, [], SIZE))) {
    expect(buffers).toBeLessThan(12 * USERS)
  }
})

test('a piece removes no more than it may, and costs what it removes', async () => {
  const size = { owners: 1_000, rows: 500 }
  for (const { buffers, rows, scanned } of await plansOf(
    database.url, db => expireEvents(db, dawn(DAYS + 3), [], size)
  )) {
    expect(rows).toBeLessThan(5_000)
    expect(buffers).toBeLessThan(20 * 1_000)
    expect(scanned.filter(table => table !== 'meta')).toEqual([])
  }
})
