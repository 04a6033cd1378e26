/** Messages: history pages, lookups, and how a row becomes what clients see. */
import { type MessageType } from '../../core/message-rules.ts'
import {
  type AttachmentView, type DeliveryState, type MessageView, type ReactionView
} from '../../core/views.ts'
import { type StoredMention } from '../../migrations/schema.ts'
import { staysAt } from '../stays.ts'
import { type Executor, type Statement } from '../database.ts'
import { visibleMessages } from './visible.ts'

export interface MessageRow {
  id: string
  conversation_id: string
  message_seq: number
  sender_user_id: string
  content: string | null
  message_type: MessageType
  mentions: StoredMention[]
  reply_to_id: string | null
  client_message_id: string | null
  created_at: Date
  edited_at: Date | null
  /** Null for the sender. */
  withdrawn_at: Date | null
  deleted_at: Date | null
  attachments: AttachmentView[]
  reactions: ReactionView[]
}

/**
 * The columns of the message `alias` for a reader (an SQL expression), who sees no hidden
 * reactions but their own.
 * Indexes: message_attachments_pkey, attachments_pkey, reactions_pkey, once per message.
 */
export const messageColumns = (alias: string, reader: string): string => `
  ${alias}.id, ${alias}.conversation_id, ${alias}.seq as message_seq, ${alias}.sender_user_id,
  ${alias}.content, ${alias}.message_type, ${alias}.mentions, ${alias}.reply_to_id,
  ${alias}.client_message_id, ${alias}.created_at, ${alias}.edited_at, ${alias}.deleted_at,
  case when ${alias}.sender_user_id <> ${reader} then ${alias}.withdrawn_at end as withdrawn_at,
  (select coalesce(jsonb_agg(
            jsonb_build_object(
              'id', a.id, 'content_type', a.content_type, 'file_name', a.file_name, 'size', a.size)
            order by ma.position), '[]')
     from message_attachments ma
     join attachments a on a.id = ma.attachment_id
    where ma.message_id = ${alias}.id) as attachments,
  ${reactionsJson(`${alias}.id`, reader)} as reactions`

/** The reactions of a message that a reader sees, or saw at a time. */
export const reactionsJson = (message: string, reader: string, at?: string): string => `
  (select coalesce(jsonb_agg(
            jsonb_build_object('user_id', r.user_id, 'emoji', r.emoji)
            order by r.created_at, r.user_id, r.emoji), '[]')
     from reactions r
    where r.message_id = ${message} and (not r.hidden or r.user_id = ${reader})
      ${at === undefined ? '' : `and r.created_at <= ${at}`})`

export function messageView (row: MessageRow, status: DeliveryState): MessageView {
  const deletedAt = row.withdrawn_at ?? row.deleted_at
  const gone = deletedAt !== null
  return {
    id: row.id,
    conversation_id: row.conversation_id,
    seq: row.message_seq,
    sender_user_id: row.sender_user_id,
    content: gone ? null : row.content,
    message_type: row.message_type,
    status,
    mentions: gone ? [] : row.mentions,
    reply_to_id: row.reply_to_id,
    attachments: gone ? [] : row.attachments,
    reactions: gone ? [] : row.reactions,
    client_message_id: row.client_message_id,
    created_at: row.created_at.toISOString(),
    edited_at: gone ? null : row.edited_at?.toISOString() ?? null,
    deleted_at: deletedAt?.toISOString() ?? null
  }
}

/**
 * What `status` a reader sees. Of one's own message: the lowest state among its
 * recipients, who are those present when it was sent; marks pass over a hidden message, which stays
 * sent. Of another user's: one's own marks, of the stay in which one sees it.
 * Takes the message `m` and the reader as parameter `$reader`.
 */
export const statusColumn = (message: string, reader: string): string => `
  case
    when ${message}.hidden then 'sent'
    when ${message}.sender_user_id = ${reader} then (
      select case
               when min(r.last_read_seq) >= ${message}.seq then 'read'
               when min(r.last_delivered_seq) >= ${message}.seq then 'delivered'
               else 'sent'
             end
        from (${staysAt(`${message}.conversation_id`, `${message}.seq`, [
          'user_id', 'last_delivered_seq', 'last_read_seq'
        ])}) as r
       where r.user_id <> ${message}.sender_user_id)
    else (
      select case
               when r.last_read_seq >= ${message}.seq then 'read'
               when r.last_delivered_seq >= ${message}.seq then 'delivered'
               else 'sent'
             end
        from conversation_participants r
       where r.conversation_id = ${message}.conversation_id and r.user_id = ${reader})
  end`

export type MessageWithStatus = MessageRow & { status: DeliveryState }

const page = (name: string, comparison: '<' | '>', direction: 'asc' | 'desc'): Statement => ({
  name,
  text: `
    select ${messageColumns('m', '$2')}, ${statusColumn('m', '$2')} as status
      from (${visibleMessages({
        conversation: '$1',
        type: '(select type from conversations where id = $1)',
        reader: '$2',
        range: `m.seq > $3 and m.seq ${comparison} $4`,
        direction,
        limit: '$5'
      })}) as m
     order by m.seq ${direction}
     limit $5`
})
const BEFORE = page('messages_before', '<', 'desc')
const AFTER = page('messages_after', '>', 'asc')

export interface PageQuery {
  conversationId: string
  readerId: string
  /** Messages up to this seq are not the reader's to see. */
  joinedSeq: number
  limit: number
}

/** Newest first: the messages below `beforeSeq`. */
export async function messagesBefore (
  db: Executor, query: PageQuery, beforeSeq: number
): Promise<MessageWithStatus[]> {
  return await db.rows(
    BEFORE, [query.conversationId, query.readerId, query.joinedSeq, beforeSeq, query.limit]
  )
}

/** Oldest first: the messages above `afterSeq`. */
export async function messagesAfter (
  db: Executor, query: PageQuery, afterSeq: number
): Promise<MessageWithStatus[]> {
  return await db.rows(AFTER, [query.conversationId, query.readerId, query.joinedSeq, afterSeq, query.limit])
}

const FIND: Statement = {
  name: 'messages_find',
  text: `
    select ${messageColumns('m', '$2')}, ${statusColumn('m', '$2')} as status,
           p.joined_seq, p.left_at, p.left_seq, m.hidden
      from messages m
      left join conversation_participants p on p.conversation_id = m.conversation_id and p.user_id = $2
     where m.id = $1`
}

export type MessageForReader = MessageWithStatus & {
  /** Null when the reader never was a participant. */
  joined_seq: number | null
  left_at: Date | null
  left_seq: number | null
  hidden: boolean
}

export async function findMessage (
  db: Executor, messageId: string, readerId: string
): Promise<MessageForReader | undefined> {
  const [row] = await db.rows<MessageForReader>(FIND, [messageId, readerId])
  return row
}
