/** Messages and conversations as the server sends them. Times are ISO 8601 in UTC. */

export type DeliveryState = 'sent' | 'delivered' | 'read'
export type MessageType = 'text' | 'image' | 'video' | 'audio'

/** `offset` and `length` count Unicode code points of the content. */
export interface Mention { user_id: string, offset: number, length: number }

export interface Attachment {
  id: string
  content_type: string
  file_name: string | null
  /** Bytes. */
  size: number
}

export interface Reaction { user_id: string, emoji: string }

export interface Message {
  id: string
  conversation_id: string
  seq: number
  sender_user_id: string
  /** Null once deleted. */
  content: string | null
  message_type: MessageType
  status: DeliveryState
  mentions: Mention[]
  reply_to_id: string | null
  attachments: Attachment[]
  /** The oldest first. */
  reactions: Reaction[]
  client_message_id: string | null
  created_at: string
  edited_at: string | null
  deleted_at: string | null
}

export interface Participant {
  user_id: string
  name: string | null
  role: 'admin' | 'member'
  can_send_messages: boolean
  joined_at: string
  last_delivered_seq: number
  last_read_seq: number
}

/** Of a conversation with more, the server tells of oneself only. */
export const MAX_PARTICIPANTS_SHOWN = 32

export interface Conversation {
  id: string
  type: 'direct' | 'group'
  title: string | null
  created_at: string
  last_seq: number
  last_activity_at: string
  muted_until: string | null
  unread_count: number
  last_message: Message | null
  participant_count: number
  participants: Participant[]
}

export interface ConversationPage {
  conversations: Conversation[]
  next_cursor: string | null
  inbox: { epoch: string, last_seq: number }
}

export interface MessagePage { messages: Message[], has_more: boolean }

/** What the user has written and not sent. Without content there is none. */
export interface Draft { conversation_id: string, content: string, updated_at: string }

export interface DraftPage { drafts: Draft[], next_cursor: string | null }

export interface Presence { user_id: string, online: boolean, last_seen_at: string | null }
