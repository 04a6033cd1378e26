/** What an erasure finds and takes away, a bounded piece at a time. */
import { type Executor, type Statement } from '../database.ts'

/** How many are present in a conversation (an SQL expression). Index: conversation_participants_pkey. */
export const membersOf = (conversation: string): string => `
           (select count(*)
              from conversation_participants o
             where o.conversation_id = ${conversation} and o.left_seq is null) as members`

// Index: conversation_participants_user_index.
const PRESENT: Statement = {
  name: 'erased_present',
  text: `
    select conversation_id
      from conversation_participants
     where user_id = $1 and left_at is null
     order by conversation_id
     limit $2`
}

export async function presentIn (tx: Executor, userId: string, limit: number): Promise<string[]> {
  const rows = await tx.rows<{ conversation_id: string }>(PRESENT, [userId, limit])
  return rows.map(row => row.conversation_id)
}

// Index: conversation_participants_former_index.
const NEXT_FORMER: Statement = {
  name: 'erased_next_former',
  text: `
    select p.conversation_id, ${membersOf('p.conversation_id')}
      from conversation_participants p
     where p.user_id = $1 and p.left_at is not null and p.conversation_id > $2
     order by p.conversation_id
     limit 1`
}

/** The next conversation the user has left, in id order, and how many are in it. */
export async function nextFormer (
  tx: Executor, userId: string, after: string
): Promise<{ conversation_id: string, members: number } | undefined> {
  const [row] = await tx.rows<{ conversation_id: string, members: number }>(NEXT_FORMER, [userId, after])
  return row
}

// Index: messages_sender_index, once for hidden messages and once for the others.
const MESSAGES: Statement = {
  name: 'erased_messages',
  text: `
    select m.*
      from (values (false), (true)) as kind (hidden)
      cross join lateral (
        select m.id, m.seq, m.deleted_at is not null as deleted,
               m.hidden or m.withdrawn_at is not null as unseen
          from messages m
         where m.conversation_id = $1 and m.sender_user_id = $2 and m.hidden = kind.hidden and m.seq > $3
         order by m.seq
         limit $4) as m
     order by m.seq
     limit $4`
}

export interface ErasableMessage { id: string, seq: number, deleted: boolean, unseen: boolean }

/** Messages of one sender in one conversation, the oldest first, tombstones included. */
export async function messagesOf (
  tx: Executor, conversationId: string, senderId: string, afterSeq: number, limit: number
): Promise<ErasableMessage[]> {
  return await tx.rows(MESSAGES, [conversationId, senderId, afterSeq, limit])
}

const FORGET: Statement = {
  name: 'erased_client_ids',
  text: `
    update messages
       set client_message_id = null, client_fingerprint = null
     where id = any($1::uuid[]) and (client_message_id is not null or client_fingerprint is not null)`
}

/**
 * Forgets what the sender's clients called the messages: the next user with this id may use
 * the names again.
 */
export async function forgetClientIds (tx: Executor, messageIds: string[]): Promise<void> {
  await tx.rows(FORGET, [messageIds])
}

// Index: conversation_participants_pkey.
const AUDIENCES: Statement = {
  name: 'erased_audiences',
  text: `
    select a.i::int as i, p.user_id
      from unnest($1::uuid[], $2::bigint[]) with ordinality as a (conversation_id, seq, i)
      join conversation_participants p
        on p.conversation_id = a.conversation_id and p.left_seq is null and p.joined_seq < a.seq
     order by a.i, p.user_id`
}

/** For each message, who is present and had joined when it came. */
export async function readAudiences (
  tx: Executor, messages: Array<{ conversation_id: string, seq: number }>
): Promise<string[][]> {
  const audiences = messages.map((): string[] => [])
  if (messages.length === 0) return audiences
  const rows = await tx.rows<{ i: number, user_id: string }>(
    AUDIENCES, [messages.map(m => m.conversation_id), messages.map(m => m.seq)]
  )
  for (const { i, user_id } of rows) audiences[i - 1]!.push(user_id)
  return audiences
}

// Indexes: reactions_user_index, messages_pkey, conversation_participants_pkey.
const REACTIONS: Statement = {
  name: 'erased_reactions',
  text: `
    select r.message_id, m.conversation_id, ${membersOf('m.conversation_id')}
      from (select distinct message_id
              from reactions
             where user_id = $1 and message_id > $2
             order by message_id
             limit $3) as r
      join messages m on m.id = r.message_id
     order by r.message_id`
}

export interface ReactedMessage { message_id: string, conversation_id: string, members: number }

/** Messages with a reaction of the user, in id order. */
export async function reactedMessages (
  tx: Executor, userId: string, after: string, limit: number
): Promise<ReactedMessage[]> {
  return await tx.rows(REACTIONS, [userId, after, limit])
}

// Index: reactions_pkey.
const TAKE_REACTIONS: Statement = {
  name: 'erased_take_reactions',
  text: `
    with taken as (
      delete from reactions
       where message_id = any($1::uuid[]) and user_id = $2
      returning message_id, emoji, hidden
    )
    select t.message_id, t.emoji, m.conversation_id, m.seq,
           t.hidden or m.hidden or m.withdrawn_at is not null as unseen
      from taken t
      join messages m on m.id = t.message_id
     order by t.message_id, t.emoji`
}

export interface TakenReaction {
  message_id: string
  emoji: string
  conversation_id: string
  seq: number
  unseen: boolean
}

/** The conversations must be locked by this transaction. */
export async function takeReactions (
  tx: Executor, userId: string, messageIds: string[]
): Promise<TakenReaction[]> {
  return await tx.rows(TAKE_REACTIONS, [messageIds, userId])
}

// Index: inbox_events_pkey, from where the piece before ended: what that one left dead
// is not passed over again.
const CUT_INBOX: Statement = {
  name: 'erased_cut_inbox',
  text: `
    with cut as materialized (
      select seq from inbox_events where user_id = $1 and seq > $2 order by seq limit $3
    ), gone as (
      delete from inbox_events e using cut where e.user_id = $1 and e.seq = cut.seq
    )
    select max(seq) as up_to from cut`
}

/** Cuts up to `limit` events after `seq` from the log; the last one cut, undefined when none was left. */
export async function cutInbox (
  tx: Executor, userId: string, seq: number, limit: number
): Promise<number | undefined> {
  const [row] = await tx.rows<{ up_to: number | null }>(CUT_INBOX, [userId, seq, limit])
  return row?.up_to ?? undefined
}

// What no message has goes now: uploads and the avatar. Indexes: devices_pkey, blocks_pkey, drafts_pkey,
// push_due_pkey, push_reads_pkey, attachments_owner_index.
const REST: Statement = {
  name: 'erased_rest',
  text: `
    with gone_devices as (
      delete from devices where user_id = $1
    ), gone_blocks as (
      delete from blocks where blocker_user_id = $1
    ), gone_drafts as (
      delete from drafts where user_id = $1
    ), gone_pushes as (
      delete from push_due where user_id = $1
    ), gone_reads as (
      delete from push_reads where user_id = $1
    ), unsent as materialized (
      select a.id
        from attachments a
       where a.owner_user_id = $1 and (a.released_at is null or a.released_at > $2)
         and not exists (select 1 from message_attachments m where m.attachment_id = a.id)
       order by a.id
         for no key update
    )
    update attachments a
       set released_at = $2::timestamptz
      from unsent
     where a.id = unsent.id`
}

/** Devices, blocks, drafts, due pushes and unsent uploads. The user must be locked by this transaction. */
export async function eraseRest (tx: Executor, userId: string, at: Date): Promise<void> {
  await tx.rows(REST, [userId, at])
}

// An old token of the erased user must not set the name again. The database's clock,
// as in every revocation.
const BLANK: Statement = {
  name: 'erased_blank',
  text: `
    update users
       set name = null, name_changed_at = clock_timestamp(), avatar = null, last_seen_at = null,
           tokens_valid_after = date_trunc('milliseconds', clock_timestamp())
     where id = $1`
}

/** Leaves only the counters and the id of the user, and lets new tokens in. */
export async function blankUser (tx: Executor, userId: string): Promise<void> {
  await tx.rows(BLANK, [userId])
}
