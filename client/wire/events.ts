/** What comes from the server: events of the inbox, notices on `live`, answers to commands. */
import { type Conversation, type Draft, type Message, type Participant, type Presence } from './views.ts'

interface Fields {
  new_message: { message: Message }
  message_sent: { message: Message }
  message_edited: { message: Message }
  message_deleted: { message_id: string, conversation_id: string, deleted_at: string }
  message_delivered: {
    message_id: string, conversation_id: string, user_id: string, up_to_seq: number, delivered_at: string
  }
  message_read: {
    message_id: string, conversation_id: string, reader_id: string, up_to_seq: number, read_at: string
  }
  reaction_added: { message_id: string, conversation_id: string, user_id: string, emoji: string }
  reaction_removed: { message_id: string, conversation_id: string, user_id: string, emoji: string }
  /** Null: the conversation of a stay that is over. */
  conversation_created: { conversation: Conversation | null }
  conversation_updated: { conversation: Conversation | null }
  participant_added: Participant & { conversation_id: string, participant_count: number }
  participant_updated: {
    conversation_id: string, user_id: string, name: string | null
  } & Partial<Pick<Participant, 'role' | 'can_send_messages'>>
  participant_removed: {
    conversation_id: string, user_id: string, left_at: string, participant_count: number
  }
  resync_required: object
}

/** What an event tells, without its place in the log. */
export type Change = { [T in keyof Fields]: { type: T } & Fields[T] }[keyof Fields]

export type InboxEvent = Change & { seq: number, epoch: string }

export interface InboxPage { events: InboxEvent[], epoch: string, last_seq: number, has_more: boolean }

export type LiveNotice =
  | { type: 'typing', conversation_id: string, user_id: string, is_typing: boolean, expires_at: string }
  | { type: 'presence' } & Presence
  | { type: 'draft' } & Draft

export interface Refusal { code: string, detail: string }

export interface Reply {
  type: 'accepted' | 'rejected'
  client_message_id?: string
  request_id?: string
  message?: Message
  error?: Refusal
}
