/**
 * The locks of conversations and users, and the one order in which they are taken:
 *
 *   1. conversations, by id
 *   2. users, by id (byte order: the column is collate "C")
 *   3. what belongs to them: memberships, messages, devices, push rows, attachments
 *
 * The row of an erasure (erasure/erasures.ts) comes before all of them, and new users are created before
 * users are locked. test/store/lock-order.test.ts looks at every path that writes.
 *
 * Transactions that share rows then queue up instead of deadlocking. "No key"
 * keeps the foreign key checks of other transactions from waiting. A lock makes
 * final what is read after it. To append to an inbox log takes the lock of its user,
 * before it is decided or with the update of its counter: then the update must find
 * the counter as it was (`refuseUnless`).
 */
import { type Executor, type Statement } from './database.ts'

/** Of a user: the end of the inbox log, and what any of their devices acknowledged. */
export interface InboxCounters { id: string, inbox_seq: number, acked_seq: number }

export interface LockedConversation {
  id: string
  type: 'direct' | 'group'
  title: string | null
  last_seq: number
  last_activity_at: Date
  /** Another one means that what is known of the members is out of date. */
  members_version: number
}

const CONVERSATIONS: Statement = {
  name: 'locks_find_conversations',
  text: `
    select id, type, title, last_seq, last_activity_at, members_version
      from conversations
     where id = any($1::uuid[])
     order by id`
}
const LOCK_CONVERSATIONS: Statement = locking('locks_conversations', CONVERSATIONS)

export async function lockConversations (
  tx: Executor, ids: string[]
): Promise<Map<string, LockedConversation>> {
  return byId(await tx.rows<LockedConversation>(LOCK_CONVERSATIONS, [ids]))
}

/** As they were when it was asked; nothing is locked. */
export async function findConversations (
  db: Executor, ids: string[]
): Promise<Map<string, LockedConversation>> {
  return byId(await db.rows<LockedConversation>(CONVERSATIONS, [ids]))
}

/**
 * The end of a statement that writes what was decided by what rows said when they were read: it fails as a
 * serialization failure (SQLSTATE 40001) when they say something else by now.
 */
export const refuseUnless = (condition: string): string =>
  `select refuse_stale_rows() where not (${condition})`

const LOCK_USERS: Statement = {
  name: 'locks_users',
  text: `
    select id, inbox_seq, acked_seq
      from users
     where id = any($1::text[])
     order by id
       for no key update`
}

// Index: conversation_participants_pkey once per conversation. The conversations are locked by then, so their
// members are final. `left_at is null` would mean the same, but then the planner takes a partial index for
// tiny and reads the present members of all conversations from it.
const MEMBERS: Statement = {
  name: 'locks_find_members',
  text: `
    select id, inbox_seq, acked_seq
      from users
     where id = any(array(
             select p.user_id
               from unnest($1::uuid[]) as c (id)
               join conversation_participants p on p.conversation_id = c.id
              where p.left_seq is null
              union
             select unnest($2::text[])))
     order by id`
}
const LOCK_MEMBERS: Statement = locking('locks_members', MEMBERS)

/** Locks the present members of locked conversations, and other users. */
export async function lockMembers (
  tx: Executor, conversationIds: string[], others: string[]
): Promise<Map<string, InboxCounters>> {
  return byId(await tx.rows<InboxCounters>(LOCK_MEMBERS, [conversationIds, others]))
}

/** As they were when it was asked; nothing is locked. */
export async function findMembers (
  db: Executor, conversationIds: string[], others: string[]
): Promise<Map<string, InboxCounters>> {
  return byId(await db.rows<InboxCounters>(MEMBERS, [conversationIds, others]))
}

/** The users' counters, final until the end of the transaction. Unknown users are left out. */
export async function lockUsers (tx: Executor, ids: string[]): Promise<Map<string, InboxCounters>> {
  return byId(await tx.rows<InboxCounters>(LOCK_USERS, [ids]))
}

function locking (name: string, { text }: Statement): Statement {
  return { name, text: `${text}\n       for no key update` }
}

function byId<Row extends { id: string }> (rows: Row[]): Map<string, Row> {
  return new Map(rows.map(row => [row.id, row]))
}
