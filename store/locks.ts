/**
 * The locks of conversations and users, and the one order in which they are taken:
 *
 *   1. conversations, by id
 *   2. users, by id (byte order: the column is collate "C")
 *   3. what belongs to them: memberships, devices, push rows, attachments
 *
 * Transactions that share rows then queue up instead of deadlocking. "No key"
 * keeps the foreign key checks of other transactions from waiting. A lock makes
 * final what is read after it; whoever appends to an inbox log holds its user.
 */
import { type Executor, type Statement } from './database.ts'
import { type InboxCounters } from './people/users.ts'

export interface LockedConversation {
  id: string
  type: 'direct' | 'group'
  title: string | null
  last_seq: number
  last_activity_at: Date
}

const LOCK_CONVERSATIONS: Statement = {
  name: 'locks_conversations',
  text: `
    select id, type, title, last_seq, last_activity_at
      from conversations
     where id = any($1::uuid[])
     order by id
       for no key update`
}

export async function lockConversations (
  tx: Executor, ids: string[]
): Promise<Map<string, LockedConversation>> {
  const rows = await tx.rows<LockedConversation>(LOCK_CONVERSATIONS, [ids])
  return new Map(rows.map(row => [row.id, row]))
}

const LOCK_USERS: Statement = {
  name: 'locks_users',
  text: `
    select id, inbox_seq, acked_seq
      from users
     where id = any($1::text[])
     order by id
       for no key update`
}

/** The users' counters, final until the end of the transaction. Unknown users are left out. */
export async function lockUsers (tx: Executor, ids: string[]): Promise<Map<string, InboxCounters>> {
  const rows = await tx.rows<InboxCounters>(LOCK_USERS, [ids])
  return new Map(rows.map(row => [row.id, row]))
}

// The senders are found before the lock, from counters that only rise: what
// remains to be delivered under the lock concerns a subset of them.
// Indexes: inbox_events_pkey, messages_pkey.
const LOCK_FOR_DELIVERY: Statement = {
  name: 'receipts_lock_for_delivery',
  text: `
    select u.id, u.inbox_seq, u.acked_seq
      from users u
     where u.id in (
             select id from unnest($1::text[]) as receiver (id)
             union
             select m.sender_user_id
               from unnest($1::text[], $2::bigint[]) as a (user_id, up_to)
               join users r on r.id = a.user_id
               join inbox_events e on e.user_id = a.user_id and e.seq > r.acked_seq and e.seq <= a.up_to and e.type = 'new_message'
               join messages m on m.id = e.message_id)
     order by u.id
       for no key update of u`
}

export async function lockForDelivery (
  tx: Executor, receivers: string[], upTo: number[]
): Promise<Array<{ id: string, inbox_seq: number, acked_seq: number }>> {
  return await tx.rows(LOCK_FOR_DELIVERY, [receivers, upTo])
}
