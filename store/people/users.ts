/** Users, and the two counters that drive delivery: inbox_seq (end of the log) and acked_seq (what any device acknowledged). */
import { eq, inArray } from 'drizzle-orm'
import { users } from '../../migrations/schema.ts'
import { type Executor, type Statement } from '../database.ts'

export interface InboxCounters { id: string, inbox_seq: number, acked_seq: number }

/** Creates those that are new, in id order, so that two callers with common users cannot deadlock. */
export async function ensureUsers (db: Executor, ids: string[]): Promise<void> {
  await db.orm.insert(users).values(ids.toSorted().map(id => ({ id }))).onConflictDoNothing()
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

export async function tokensValidAfter (db: Executor, id: string): Promise<Date | undefined> {
  const [user] = await db.orm.select({ after: users.tokens_valid_after }).from(users).where(eq(users.id, id))
  return user?.after ?? undefined
}

export async function inboxCounters (db: Executor, ids: string[]): Promise<InboxCounters[]> {
  return await db.orm.select({ id: users.id, inbox_seq: users.inbox_seq, acked_seq: users.acked_seq })
    .from(users).where(inArray(users.id, ids))
}

const LAST_SEQS: Statement = {
  name: 'users_last_seqs',
  text: 'select id, inbox_seq from users where id = any($1::text[])'
}

/** Ends of the inbox logs of many users at once, for the sweep. */
export async function lastSeqs (
  db: Executor, ids: string[]
): Promise<Array<{ id: string, inbox_seq: number }>> {
  return await db.rows(LAST_SEQS, [ids])
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
