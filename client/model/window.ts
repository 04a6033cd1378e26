/** The window of held messages: how it grows downwards, and how it is kept small. */
import { type Change } from '../wire/events.ts'
import { type Message, type MessagePage } from '../wire/views.ts'
import { messagesInOrder } from './copy.ts'
import { type HeldConversation } from './held.ts'
import { changed } from './messages.ts'
import { isUnread, ownMark } from './unread.ts'

/** A window that has grown beyond this by events is cut. */
export const MAX_HELD = 2_000
/** What is left of a window that is cut. */
export const CUT_TO = 1_000

/** The message before which the next page of history ends. */
export const oldestHeld = (conversation: HeldConversation): Message | undefined =>
  messagesInOrder(conversation)[0]

/**
 * Adds a page of the messages before the window. `meanwhile` are the events that came while
 * it was fetched: the page may be older than they are.
 */
export function withOlder (
  userId: string, conversation: HeldConversation, { messages: page, has_more }: MessagePage,
  meanwhile: Change[]
): HeldConversation {
  const added = page.filter(({ seq }) => seq < conversation.held_from)
  const fresh = meanwhile.reduce(changed, new Map(added.map(message => [message.id, message])))
  const held_from = has_more
    ? Math.min(conversation.held_from, ...added.map(message => message.seq))
    : 0
  const mark = ownMark(userId, conversation)
  const counted = [...fresh.values()].filter(message => isUnread(userId, mark, message)).length
  const complete = mark >= held_from - 1
  return {
    ...conversation,
    messages: new Map([...fresh, ...conversation.messages]),
    held_from,
    unread_below: complete ? 0 : Math.max(0, conversation.unread_below - counted),
    recount: conversation.recount && !complete
  }
}

/** A window without its oldest messages; what was unread among them is still counted. */
export function cut (userId: string, conversation: HeldConversation, keep = CUT_TO): HeldConversation {
  if (conversation.messages.size <= keep) return conversation
  const inOrder = messagesInOrder(conversation)
  const kept = inOrder.slice(-keep)
  const mark = ownMark(userId, conversation)
  const unread = inOrder.slice(0, -keep).filter(message => isUnread(userId, mark, message)).length
  return {
    ...conversation,
    messages: new Map(kept.map(message => [message.id, message])),
    held_from: kept[0]!.seq,
    unread_below: conversation.unread_below + unread
  }
}
