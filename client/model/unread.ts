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

/**
 * Up to which message the user has read who has read up to `seq`. In a direct conversation it is the last
 * one of the other: one's own above it may lie above some that the server keeps hidden. Undefined:
 * the device holds none of them.
 */
export function readUpTo (userId: string, conversation: HeldConversation, seq: number): number | undefined {
  if (conversation.type === 'group') return seq
  const below = [...conversation.messages.values()]
    .filter(message => message.sender_user_id !== userId && message.seq <= seq)
  return below.length === 0 ? undefined : Math.max(...below.map(message => message.seq))
}

/** Whether reading up to `seq` makes a difference. */
export function isReadNews (userId: string, conversation: HeldConversation, seq: number): boolean {
  const upTo = readUpTo(userId, conversation, seq)
  return upTo === undefined ? conversation.unread_below > 0 : upTo > ownMark(userId, conversation)
}

/** After the user's own mark has moved from `before`: what is below the window is read too, or uncertain. */
export function withMarkMoved (
  userId: string, conversation: HeldConversation, before: number
): HeldConversation {
  const mark = ownMark(userId, conversation)
  if (conversation.unread_below === 0 || mark === before) return conversation
  return mark >= conversation.held_from - 1
    ? withNothingBelow(conversation)
    : { ...conversation, recount: true }
}

export const withNothingBelow = (conversation: HeldConversation): HeldConversation =>
  ({ ...conversation, unread_below: 0, recount: false })
