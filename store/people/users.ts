/**
 * Users, and the two counters that drive delivery: inbox_seq (end of the log) and acked_seq (what any device
 * acknowledged).
 */
import { eq, inArray } from 'drizzle-orm'
import { users } from '../../migrations/schema.ts'
import { type InboxCounters } from '../locks.ts'
import { type Executor, type Statement } from '../database.ts'
import { overSets } from '../row-sets.ts'

export interface Acquaintance { id: string, name: string | null, name_changed_at: Date | null }

// A user that another statement creates meanwhile is in neither half; the next time they are known.
// Without a new user nothing is written. Index: users_pkey.
const MEET: Statement = {
  name: 'users_meet',
  text: `
    with asked as materialized (
      select a.id, a.name, a.name_changed_at, u.id as known_id, u.name as known_name,
             u.name_changed_at as known_changed_at
        from unnest($1::text[], $2::text[], $3::timestamptz[]) as a (id, name, name_changed_at)
             left join lateral (
               select id, name, name_changed_at from users where id = a.id offset 0) u on true
    ), created as (
      insert into users (id, name, name_changed_at)
      select id, name, name_changed_at from asked where known_id is null order by id collate "C"
      on conflict do nothing
      returning id, name, name_changed_at
    )
    select id, known_name as name, known_changed_at as name_changed_at from asked where known_id is not null
    union all
    select id, name, name_changed_at from created`
}

/**
 * Creates the users that are new, with these names; returns the names of all as they are now. No id twice.
 */
export async function meetUsers (
  db: Executor, people: Acquaintance[]
): Promise<Map<string, Acquaintance>> {
  const met = new Map<string, Acquaintance>()
  const meet = async (asked: Acquaintance[]): Promise<void> => {
    const rows = await db.rows<Acquaintance>(
      MEET, [asked.map(p => p.id), asked.map(p => p.name), asked.map(p => p.name_changed_at)]
    )
    for (const row of rows) met.set(row.id, row)
  }
  await meet(people)
  const missed = people.filter(({ id }) => !met.has(id))
  if (missed.length > 0) await meet(missed)
  return met
}

const CREATE: Statement = {
  name: 'users_create',
  text: `
    insert into users (id)
    select a.id from unnest($1::text[]) as a (id) order by a.id collate "C"
    on conflict do nothing`
}

/** Creates the users that are new, without a name. To be called before users are locked. */
export async function createUsers (tx: Executor, ids: string[]): Promise<void> {
  if (ids.length > 0) await tx.rows(CREATE, [ids])
}

export async function findUser (
  db: Executor, id: string
): Promise<{ id: string, name: string | null, avatar: string | null } | undefined> {
  const [user] = await db.orm.select({ id: users.id, name: users.name, avatar: users.avatar }).from(users)
    .where(eq(users.id, id))
  return user
}

const NAMES: Statement = {
  name: 'users_names',
  text: 'select id, name from users where id = any($1::text[])'
}

export async function userNames (db: Executor, ids: string[]): Promise<Map<string, string | null>> {
  const rows = await db.rows<{ id: string, name: string | null }>(NAMES, [ids])
  return new Map(rows.map(row => [row.id, row.name]))
}

// Index: users_pkey.
const VALID_AFTER: Statement = {
  name: 'users_valid_after',
  text: `
    select a.i::int as i, u.tokens_valid_after
      from unnest($1::text[]) with ordinality as a (id, i)
           cross join lateral (
             select tokens_valid_after from users where id = a.id offset 0) u
     where u.tokens_valid_after is not null`
}

/** Since when the tokens of these users count; undefined: their tokens were never revoked. */
export async function tokensValidAfter (db: Executor, ids: string[]): Promise<Array<Date | undefined>> {
  const rows = await db.rows<{ i: number, tokens_valid_after: Date }>(VALID_AFTER, [ids])
  const after = ids.map((): Date | undefined => undefined)
  for (const { i, tokens_valid_after } of rows) after[i - 1] = tokens_valid_after
  return after
}

export async function inboxCounters (db: Executor, ids: string[]): Promise<InboxCounters[]> {
  return await db.orm.select({ id: users.id, inbox_seq: users.inbox_seq, acked_seq: users.acked_seq })
    .from(users).where(inArray(users.id, ids))
}

/** An inbox log, and the ends that it is known to have or to have had. */
export interface KnownLog { id: string, lowest: number, highest: number }

const CHANGED_LOGS = overSets<[KnownLog]>({
  name: 'users_changed_logs',
  scalars: 0,
  sets: [{
    alias: 'k',
    columns: {
      id: ['text', log => log.id],
      lowest: ['bigint', log => log.lowest],
      highest: ['bigint', log => log.highest]
    }
  }],
  text: logs => `
    select u.id, u.inbox_seq
      from ${logs}
      cross join lateral (
        select id, inbox_seq
          from users
         where id = k.id and (inbox_seq > k.lowest or inbox_seq < k.highest)
         limit 1) as u`
})

/**
 * Of many users at once those whose inbox log ends behind `lowest` or before `highest`, and its end; for the
 * sweep. Index: users_pkey.
 */
export async function changedLogs (
  db: Executor, known: KnownLog[]
): Promise<Array<{ id: string, inbox_seq: number }>> {
  return await CHANGED_LOGS(db, [known])
}

const SET_ACKED: Statement = {
  name: 'users_set_acked',
  text: `
    update users
       set acked_seq = v.acked_seq
      from unnest($1::text[], $2::bigint[]) as v (id, acked_seq)
     where users.id = v.id and users.acked_seq < v.acked_seq`
}

/** The users must be locked by this transaction. */
export async function setAckedSeqs (
  tx: Executor, reached: Array<{ user_id: string, up_to: number }>
): Promise<void> {
  if (reached.length > 0) await tx.rows(SET_ACKED, [reached.map(r => r.user_id), reached.map(r => r.up_to)])
}
