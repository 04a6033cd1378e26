/** Copies: an empty one, one from a snapshot, and what is found in them. */
import { type Conversation, type Message } from '../wire/views.ts'
import { type Copy, type HeldConversation } from './held.ts'
import { isUnread, ownMark } from './unread.ts'

export const emptyCopy = (userId: string): Copy => ({ userId, conversations: new Map() })

/** A copy from a snapshot: the list of conversations and nothing else. */
export const copyOf = (userId: string, list: Conversation[]): Copy =>
  ({ userId, conversations: new Map(list.map(view => [view.id, fromView(userId, view)])) })

/** A conversation of which its view is all that is known. */
export function fromView (userId: string, view: Conversation): HeldConversation {
  const { last_message, unread_count, ...conversation } = view
  const unreadHeld = last_message !== null && isUnread(userId, ownMark(userId, view), last_message) ? 1 : 0
  return {
    ...conversation,
    messages: new Map(last_message === null ? [] : [[last_message.id, last_message]]),
    held_from: last_message?.seq ?? 0,
    unread_below: last_message === null ? 0 : Math.max(0, unread_count - unreadHeld),
    recount: false
  }
}

/** The list as it is shown: last activity first. */
export const inOrder = ({ conversations }: Copy): HeldConversation[] =>
  [...conversations.values()].sort((a, b) =>
    compare(b.last_activity_at, a.last_activity_at) || compare(b.id, a.id))

export const messagesInOrder = ({ messages }: Pick<HeldConversation, 'messages'>): Message[] =>
  [...messages.values()].sort((a, b) => a.seq - b.seq)

export const compare = (a: string, b: string): number => a < b ? -1 : a > b ? 1 : 0

/** The conversation that holds a message, and the message. */
export function findMessage (
  { conversations }: Copy, messageId: string
): { conversation: HeldConversation, message: Message } | undefined {
  for (const conversation of conversations.values()) {
    const message = conversation.messages.get(messageId)
    if (message !== undefined) return { conversation, message }
  }
  return undefined
}
