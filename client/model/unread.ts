/**
 * Counting what is unread. Messages of others above the user's own mark count, tombstones
 * do not. Those in the window are counted, those before it are a number that is kept.
 */
import { type Conversation, type Message } from '../wire/views.ts'
import { type HeldConversation } from './held.ts'

/** The server counts no further. */
export const MAX_UNREAD_COUNT = 1_000

export const ownMark = (userId: string, { participants }: Pick<Conversation, 'participants'>): number =>
  participants.find(({ user_id }) => user_id === userId)?.last_read_seq ?? 0

export const isUnread = (userId: string, mark: number, message: Message): boolean =>
  message.seq > mark && message.sender_user_id !== userId && message.deleted_at === null

export function unreadCount (
  userId: string, conversation: HeldConversation, mark = ownMark(userId, conversation)
): number {
  // A mark that is above what is kept for the server may be shown before it has decided.
  let count = mark >= conversation.held_from - 1 ? 0 : conversation.unread_below
  for (const message of conversation.messages.values()) if (isUnread(userId, mark, message)) count++
  return Math.min(count, MAX_UNREAD_COUNT)
}

/** After the user's own mark has moved from `before`: what is below the window is read too, or uncertain. */
export function withMarkMoved (
  userId: string, conversation: HeldConversation, before: number
): HeldConversation {
  const mark = ownMark(userId, conversation)
  if (conversation.unread_below === 0 || mark === before) return conversation
  if (mark >= conversation.held_from - 1) return { ...conversation, unread_below: 0, recount: false }
  return { ...conversation, recount: true }
}
