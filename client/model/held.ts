/**
 * What a device keeps of its user's conversations.
 *
 * Of each conversation it holds a window: every message that the user may see with a
 * `seq` from `held_from` on. Events lengthen the window at its new end, pages of history
 * at its old end. What lies before it is known as one number, `unread_below`.
 */
import { type Conversation, type Message } from '../wire/views.ts'

export interface HeldConversation extends Omit<Conversation, 'last_message' | 'unread_count'> {
  messages: ReadonlyMap<string, Message>
  /** 0: there are no messages before those that are held. */
  held_from: number
  /** Unread messages before `held_from`. */
  unread_below: number
  /** `unread_below` may be wrong until the messages that it counts are held. */
  recount: boolean
}

export interface Copy { userId: string, conversations: ReadonlyMap<string, HeldConversation> }
