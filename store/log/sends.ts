/**
 * The statements of the sends of one batch, each for all messages at once. The
 * locks of the conversations and of their members make final what is read here.
 */
import { type MessageType } from '../../core/message-rules.ts'
import { type StoredMention } from '../../migrations/schema.ts'
import { type Executor, type Statement } from '../database.ts'
import { messageColumns, statusColumn, type MessageWithStatus } from '../messages/messages.ts'
import { type LockedConversation, refuseUnless } from '../locks.ts'
import { overSets } from '../row-sets.ts'

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
  last_delivered_seq: number
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
// one. Index: messages_client_message_id_unique. With a lone pair of values in place of arrays PostgreSQL 18
// takes messages_sender_index while the table is empty.
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
const MEMBERS = overSets<[string]>({
  name: 'sends_members',
  scalars: 1,
  sets: [{ alias: 'a', columns: { id: ['uuid', id => id] } }],
  text: conversations => `
    select p.conversation_id, p.user_id, p.can_send_messages, p.joined_seq, p.left_seq is null as present,
           p.shown_seq, p.last_delivered_seq,
           c.type = 'direct' and exists (
             select 1 from conversation_participants o
               join blocks b on b.blocker_user_id = p.user_id and b.blocked_user_id = o.user_id
              where o.conversation_id = p.conversation_id and o.user_id <> p.user_id) as blocks_other
      from ${conversations}
      cross join lateral (select c.id, c.type from conversations c where c.id = a.id limit 1) as c
      join conversation_participants p on p.conversation_id = c.id
     where p.left_seq is null or p.user_id = any($1::text[])`
})

export async function readMembers (
  tx: Executor, conversationIds: string[], senders: string[]
): Promise<Member[]> {
  return await MEMBERS(tx, [conversationIds], senders)
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

interface End { last: NewMessage, added: number, membersVersion: number }

const WRITE = overSets<[NewMessage, End]>({
  name: 'sends_write',
  scalars: 2,
  sets: [
    {
      alias: 'm',
      columns: {
        id: ['uuid', m => m.id],
        conversation_id: ['uuid', m => m.conversation_id],
        seq: ['bigint', m => m.seq],
        sender_user_id: ['text', m => m.sender_user_id],
        content: ['text', m => m.content],
        message_type: ['text', m => m.message_type],
        mentions: ['jsonb', m => JSON.stringify(m.mentions)],
        reply_to_id: ['uuid', m => m.reply_to_id],
        client_message_id: ['text', m => m.client_message_id],
        client_fingerprint: ['text', m => m.client_fingerprint],
        hidden: ['boolean', m => m.hidden]
      }
    },
    {
      alias: 'v',
      columns: {
        id: ['uuid', end => end.last.conversation_id],
        last_seq: ['bigint', end => end.last.seq],
        last_message_id: ['uuid', end => end.last.id],
        added: ['int', end => end.added],
        members_version: ['int', end => end.membersVersion]
      }
    }
  ],
  text: (messages, ends) => `
    with written as (
      insert into messages (id, conversation_id, seq, sender_user_id, content, message_type, mentions,
                            reply_to_id, client_message_id, client_fingerprint, hidden, created_at)
      select m.*, $1::timestamptz
        from ${messages}
       where m.id is not null
    ), counted as (
      update conversations c
         set last_seq = v.last_seq, last_message_id = v.last_message_id, last_message_at = $1,
             last_activity_at = greatest(c.last_activity_at, $1), message_count = c.message_count + v.added
        from ${ends}
       where c.id = v.id and c.last_seq = v.last_seq - v.added and c.members_version = v.members_version
      returning 1
    )
    ${refuseUnless('(select count(*) from counted) = $2::int')}`
})

/**
 * Writes messages and the counters of their conversations. Throws a serialization failure when another
 * transaction has changed one of them since it was read: it is locked from here on, if it was not before.
 */
export async function writeMessages (
  tx: Executor, messages: NewMessage[], conversations: Map<string, LockedConversation>, at: Date
): Promise<void> {
  const ends = new Map<string, End>()
  for (const message of messages) {
    const id = message.conversation_id
    const added = (ends.get(id)?.added ?? 0) + 1
    ends.set(id, { last: message, added, membersVersion: conversations.get(id)!.members_version })
  }
  await WRITE(tx, [messages, [...ends.values()].sort(byConversation)], at, ends.size)
}

const byConversation = ({ last: one }: End, { last: other }: End): number =>
  one.conversation_id < other.conversation_id ? -1 : 1
