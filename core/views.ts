/** What clients see of a message and a conversation: the JSON of REST, MQTT and every other door. */
import type { Mention, MessageType } from './message-rules.ts'

export type DeliveryState = 'sent' | 'delivered' | 'read'

export interface AttachmentView {
  id: string
  content_type: string
  file_name: string | null
  /** Bytes. */
  size: number
}

export interface ReactionView { user_id: string, emoji: string }

export interface MessageView {
  id: string
  conversation_id: string
  seq: number
  sender_user_id: string
  content: string | null
  message_type: MessageType
  status: DeliveryState
  mentions: Mention[]
  reply_to_id: string | null
  attachments: AttachmentView[]
  reactions: ReactionView[]
  client_message_id: string | null
  created_at: string
  edited_at: string | null
  deleted_at: string | null
}

export interface ParticipantView {
  user_id: string
  name: string | null
  role: 'admin' | 'member'
  can_send_messages: boolean
  joined_at: string
  last_delivered_seq: number
  last_read_seq: number
}

/** What a user has written in a conversation and not sent; without content there is none. */
export interface DraftView { conversation_id: string, content: string, updated_at: string }

/** In a conversation with more, views and events carry `participant_count` and oneself, not the others. */
export const MAX_PARTICIPANTS_SHOWN = 32

export interface ConversationView {
  id: string
  type: 'direct' | 'group'
  title: string | null
  created_at: string
  last_seq: number
  last_activity_at: string
  muted_until: string | null
  unread_count: number
  last_message: MessageView | null
  participant_count: number
  /** All of them up to MAX_PARTICIPANTS_SHOWN; of larger conversations only the viewer. */
  participants: ParticipantView[]
}
