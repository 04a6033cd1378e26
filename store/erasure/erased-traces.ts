/** What an erasure takes out of what others have said, a bounded piece at a time: receipts and mentions. */
import { type Executor, type Statement } from '../database.ts'
import { membersOf } from './erased-data.ts'

// Indexes: conversation_participants_former_index, delivery_status_pkey.
const RECEIPTS: Statement = {
  name: 'erased_receipts',
  text: `
    with piece as materialized (
      select conversation_id
        from conversation_participants
       where user_id = $1 and left_at is not null and conversation_id > $2
       order by conversation_id
       limit $3
    ), rows as materialized (
      select d.conversation_id, d.status, d.up_to_seq
        from piece p
       cross join lateral (
          select conversation_id, status, up_to_seq
            from delivery_status
           where conversation_id = p.conversation_id and user_id = $1
           limit $4) as d
       limit $4
    ), gone as (
      delete from delivery_status d
       using rows
       where d.conversation_id = rows.conversation_id and d.user_id = $1 and d.status = rows.status
         and d.up_to_seq = rows.up_to_seq
    ), cleared as (
      update conversation_participants p
         set last_read_at = null
        from piece
       where p.conversation_id = piece.conversation_id and p.user_id = $1 and p.last_read_at is not null
    )
    select (select count(*) from rows) as removed,
           (select conversation_id from piece order by conversation_id desc limit 1) as last`
}

/**
 * Forgets when the user had and read what others sent, in up to `conversations` they have left, after
 * `after`; up to `limit` times. How far they had got stays: it is the status of the others' messages. The
 * user must be locked by this transaction.
 */
export async function forgetReceipts (
  tx: Executor, userId: string, after: string, { conversations, limit }: {
    conversations: number, limit: number
  }
): Promise<{ removed: number, last: string | null }> {
  const [row] = await tx.rows<{ removed: number, last: string | null }>(
    RECEIPTS, [userId, after, conversations, limit])
  return row ?? { removed: 0, last: null }
}

// A GIN index takes a bitmap scan, which the connections of a process do not use otherwise.
const ALLOW_BITMAPS: Statement =
  { name: 'erased_allow_bitmaps', text: 'select set_config(\'enable_bitmapscan\', \'on\', true)' }

const mentions = (table: string): string =>
  `${table}.mentions <> '[]' and ${table}.mentions @> jsonb_build_array(jsonb_build_object('user_id', $1::text))`
const withoutMentions = (table: string): string => `(
           select coalesce(jsonb_agg(e.mention order by e.i), '[]')
             from jsonb_array_elements(${table}.mentions) with ordinality as e (mention, i)
            where e.mention->>'user_id' <> $1)`

// Indexes: messages_mentions_index, conversation_participants_pkey.
const MENTIONING: Statement = {
  name: 'erased_mentioning',
  text: `
    select m.id, m.conversation_id, m.seq, m.sender_user_id,
           m.hidden or m.withdrawn_at is not null as unseen, ${membersOf('m.conversation_id')}
      from messages m
     where ${mentions('m')}
     limit $2`
}

export interface MentioningMessage {
  id: string
  conversation_id: string
  seq: number
  sender_user_id: string
  unseen: boolean
  members: number
}

/** Messages that mention the user. */
export async function messagesMentioning (
  tx: Executor, userId: string, limit: number
): Promise<MentioningMessage[]> {
  await tx.rows(ALLOW_BITMAPS, [])
  return await tx.rows(MENTIONING, [userId, limit])
}

// Index: messages_pkey.
const TAKE_MENTIONS: Statement = {
  name: 'erased_take_mentions',
  text: `
    update messages m
       set mentions = ${withoutMentions('m')}
     where m.id = any($2::uuid[])`
}

/** The conversations must be locked by this transaction. */
export async function takeMentions (tx: Executor, userId: string, messageIds: string[]): Promise<void> {
  await tx.rows(TAKE_MENTIONS, [userId, messageIds])
}

// Index: message_edits_mentions_index.
const TAKE_EARLIER_MENTIONS: Statement = {
  name: 'erased_take_earlier_mentions',
  text: `
    with found as materialized (
      select v.message_id, v.version from message_edits v where ${mentions('v')} limit $2
    ), taken as (
      update message_edits v
         set mentions = ${withoutMentions('v')}
        from found
       where v.message_id = found.message_id and v.version = found.version
    )
    select count(*) as count from found`
}

/** Up to `limit` mentions in earlier versions of messages; returns how many there were. */
export async function takeEarlierMentions (tx: Executor, userId: string, limit: number): Promise<number> {
  await tx.rows(ALLOW_BITMAPS, [])
  const [row] = await tx.rows<{ count: number }>(TAKE_EARLIER_MENTIONS, [userId, limit])
  return row?.count ?? 0
}
