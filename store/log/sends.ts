/**
 * The statements of the sends of one batch, each for all messages at once. The
 * locks of the conversations and of their members make final what is read here.
 */
import { type MessageType } from '../../core/message-rules.ts'
import { type StoredMention } from '../../migrations/schema.ts'
import { type Executor, type Statement } from '../database.ts'
import { messageColumns, statusColumn, type MessageWithStatus } from '../messages/messages.ts'

export interface Member {
  conversation_id: string
  user_id: string
  can_send_messages: boolean
  joined_seq: number
  present: boolean
  /** In a direct conversation: this member has blocked the other one. */
  blocks_other: boolean
  /** Everything after this message is hidden from the member; null while the last message is not. */
  shown_seq: number | null
}

export interface NewMessage {
  id: string
  conversation_id: string
  seq: number
  sender_user_id: string
  content: string
  message_type: MessageType
  mentions: StoredMention[]
  reply_to_id: string | null
  client_message_id: string | null
  client_fingerprint: string | null
  hidden: boolean
}

// Asked for every message, and nearly always in vain: what the answer to a repeat needs is read when there is
// one. Index: messages_client_message_id_unique.
const REPEATS: Statement = {
  name: 'sends_repeats',
  text: `
    select m.id
      from unnest($1::text[], $2::text[]) as r (sender_user_id, client_message_id)
      join messages m on m.sender_user_id = r.sender_user_id and m.client_message_id = r.client_message_id`
}

/** The ids of messages that already carry one of these (sender, client_message_id) pairs. */
export async function findRepeats (
  tx: Executor, senders: string[], clientMessageIds: string[]
): Promise<string[]> {
  const rows = await tx.rows<{ id: string }>(REPEATS, [senders, clientMessageIds])
  return rows.map(row => row.id)
}

// Index: messages_pkey.
const STORED: Statement = {
  name: 'sends_stored',
  text: `
    select ${messageColumns('m', 'm.sender_user_id')}, m.client_fingerprint,
           ${statusColumn('m', 'm.sender_user_id')} as status
      from unnest($1::uuid[]) as r (id)
      join messages m on m.id = r.id`
}

export type StoredSend = MessageWithStatus & { client_fingerprint: string | null }

/** These messages as their senders see them. */
export async function readStored (tx: Executor, messageIds: string[]): Promise<StoredSend[]> {
  return messageIds.length === 0 ? [] : await tx.rows(STORED, [messageIds])
}

// Indexes: conversations_pkey once per conversation, conversation_participants_pkey. Former members are read
// only when they try to send.
const MEMBERS: Statement = {
  name: 'sends_members',
  text: `
    select p.conversation_id, p.user_id, p.can_send_messages, p.joined_seq, p.left_seq is null as present,
           p.shown_seq,
           c.type = 'direct' and exists (
             select 1 from conversation_participants o
               join blocks b on b.blocker_user_id = p.user_id and b.blocked_user_id = o.user_id
              where o.conversation_id = p.conversation_id and o.user_id <> p.user_id) as blocks_other
      from unnest($1::uuid[]) as a (id)
      cross join lateral (select c.id, c.type from conversations c where c.id = a.id limit 1) as c
      join conversation_participants p on p.conversation_id = c.id
     where p.left_seq is null or p.user_id = any($2::text[])`
}

export async function readMembers (
  tx: Executor, conversationIds: string[], senders: string[]
): Promise<Member[]> {
  return await tx.rows(MEMBERS, [conversationIds, senders])
}

const SHOW: Statement = {
  name: 'sends_show',
  text: `
    update conversation_participants p
       set shown_seq = v.shown_seq, shown_at = v.shown_at
      from unnest($1::uuid[], $2::text[], $3::bigint[], $4::timestamptz[])
           as v (conversation_id, user_id, shown_seq, shown_at)
     where p.conversation_id = v.conversation_id and p.user_id = v.user_id`
}

/** Where the conversation ends for a member: null unless the messages at its end are hidden from them. */
export interface Shown {
  conversation_id: string
  user_id: string
  shown_seq: number | null
  shown_at: Date | null
}

/**
 * Rare: only the first hidden message after shown ones, and the first shown one after hidden ones, move this.
 */
export async function writeShown (tx: Executor, shown: Shown[]): Promise<void> {
  if (shown.length === 0) return
  await tx.rows(SHOW, [
    shown.map(s => s.conversation_id), shown.map(s => s.user_id), shown.map(s => s.shown_seq),
    shown.map(s => s.shown_at)
  ])
}

const REPLY_TARGETS: Statement = {
  name: 'sends_reply_targets',
  text: 'select id, conversation_id, seq, sender_user_id, hidden from messages where id = any($1::uuid[])'
}

export interface ReplyTarget {
  id: string
  conversation_id: string
  seq: number
  sender_user_id: string
  hidden: boolean
}

export async function readReplyTargets (tx: Executor, ids: string[]): Promise<Map<string, ReplyTarget>> {
  const rows = ids.length === 0 ? [] : await tx.rows<ReplyTarget>(REPLY_TARGETS, [ids])
  return new Map(rows.map(row => [row.id, row]))
}

const WRITE: Statement = {
  name: 'sends_write',
  text: `
    with written as (
      insert into messages (id, conversation_id, seq, sender_user_id, content, message_type, mentions,
                            reply_to_id, client_message_id, client_fingerprint, hidden, created_at)
      select m.*, $1::timestamptz
        from unnest($2::uuid[], $3::uuid[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::jsonb[],
                    $9::uuid[], $10::text[], $11::text[], $12::boolean[]) as m
    )
    update conversations c
       set last_seq = v.last_seq, last_message_id = v.last_message_id, last_message_at = $1,
           last_activity_at = greatest(c.last_activity_at, $1), message_count = c.message_count + v.added
      from unnest($13::uuid[], $14::bigint[], $15::uuid[], $16::int[])
           as v (id, last_seq, last_message_id, added)
     where c.id = v.id`
}

/** Writes messages and the counters of their conversations, which this transaction must have locked. */
export async function writeMessages (tx: Executor, messages: NewMessage[], at: Date): Promise<void> {
  const conversations = new Map<string, { last: NewMessage, added: number }>()
  for (const message of messages) {
    const added = (conversations.get(message.conversation_id)?.added ?? 0) + 1
    conversations.set(message.conversation_id, { last: message, added })
  }
  const ends = [...conversations.values()]
  await tx.rows(WRITE, [
    at,
    messages.map(m => m.id), messages.map(m => m.conversation_id), messages.map(m => m.seq),
    messages.map(m => m.sender_user_id), messages.map(m => m.content), messages.map(m => m.message_type),
    messages.map(m => JSON.stringify(m.mentions)), messages.map(m => m.reply_to_id),
    messages.map(m => m.client_message_id), messages.map(m => m.client_fingerprint),
    messages.map(m => m.hidden),
    [...conversations.keys()], ends.map(c => c.last.seq), ends.map(c => c.last.id), ends.map(c => c.added)
  ])
}
