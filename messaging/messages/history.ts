/** Reading messages back: pages of a conversation, and who has what. */
import { AppError, formerMember, invalid, unknownMessage } from '../../core/errors.ts'
import { type DeliveryState, type MessageView } from '../../core/views.ts'
import { findMembership } from '../../store/conversations/conversations.ts'
import { type Executor } from '../../store/database.ts'
import {
  findMessage, messagesAfter, messagesBefore, messageView, type MessageForReader
} from '../../store/messages/messages.ts'
import { recipientStatuses, type RecipientStatus } from '../../store/log/receipt-times.ts'
import { KEPT_MS } from '../log/retention.ts'
import { requirePresent } from '../membership.ts'

export interface HistoryPage { messages: MessageView[], has_more: boolean }
export interface HistoryQuery { limit: number, before_id?: string, after_id?: string }

export interface MessageStatus { message_id: string, status: DeliveryState, recipients: RecipientStatus[] }

const RANK: Record<DeliveryState, number> = { sent: 0, delivered: 1, read: 2 }

/**
 * Newest first; oldest first after `after_id`. Throws `not_found`, `forbidden`, or `invalid` for a
 * cursor of another conversation.
 */
export async function readHistory (
  db: Executor, readerId: string, conversationId: string, { limit, before_id, after_id }: HistoryQuery
): Promise<HistoryPage> {
  if (before_id !== undefined && after_id !== undefined) {
    throw invalid('invalid_cursor', 'before_id and after_id exclude each other')
  }
  const membership = requirePresent(await findMembership(db, conversationId, readerId))
  const query = { conversationId, readerId, joinedSeq: membership.joined_seq, limit: limit + 1 }
  const position = before_id ?? after_id
  const seq = position === undefined
    ? Number.MAX_SAFE_INTEGER
    : await cursorSeq(db, readerId, conversationId, position)
  const rows = after_id === undefined
    ? await messagesBefore(db, query, seq)
    : await messagesAfter(db, query, seq)
  return {
    messages: rows.slice(0, limit).map(row => messageView(row, row.status)), has_more: rows.length > limit
  }
}

async function cursorSeq (
  db: Executor, readerId: string, conversationId: string, messageId: string
): Promise<number> {
  const message = await findMessage(db, messageId, readerId)
  const hidden = message?.hidden === true && message.sender_user_id !== readerId
  if (message === undefined || message.conversation_id !== conversationId || hidden) {
    throw invalid('invalid_cursor', 'the cursor names no message of this conversation')
  }
  return message.message_seq
}

/** For the sender only. */
export async function readStatus (db: Executor, readerId: string, messageId: string): Promise<MessageStatus> {
  const message = requireVisible(await findMessage(db, messageId, readerId), readerId)
  if (message.sender_user_id !== readerId) {
    throw new AppError('forbidden', 'not_the_sender', 'only the sender may see who has a message')
  }
  const knownSince = new Date(Date.now() - KEPT_MS)
  const reached =
    await recipientStatuses(db, message.conversation_id, message.message_seq, readerId, knownSince)
  // Marks are cumulative and pass over a hidden message, which nobody has.
  const recipients = message.hidden
    ? reached.map(({ user_id }) =>
      ({ user_id, status: 'sent' as const, delivered_at: null, read_at: null }))
    : reached
  const lowest = recipients.map(recipient => recipient.status).sort((a, b) => RANK[a] - RANK[b])[0]
  return { message_id: message.id, status: lowest ?? 'sent', recipients }
}

type Visibility = Pick<MessageForReader,
  | 'message_seq' | 'sender_user_id' | 'hidden' | 'joined_seq' | 'left_at'>

/**
 * The message when the reader may see it. Throws `not_found`, as if it did not exist, and
 * `forbidden` for a former member.
 */
export function requireVisible<M extends Visibility> (message: M | undefined, readerId: string): M {
  if (message === undefined || message.joined_seq === null) throw unknownMessage()
  if (message.left_at !== null) throw formerMember()
  const own = message.sender_user_id === readerId
  if (message.message_seq <= message.joined_seq || (message.hidden && !own)) throw unknownMessage()
  return message
}
