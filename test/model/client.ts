/**
 * What a client keeps of its conversations, and how an event changes it: the
 * rules of docs/protocol.md and nothing else. Nothing here does I/O or knows the server.
 *
 * The copy starts from a snapshot (or empty, before the first event) and is given
 * the events after the snapshot's `last_seq`, in order. An event may show things
 * as they are now rather than as they were, and what it tells may be in the
 * snapshot already: applying what is known changes nothing.
 */
import {
  MAX_PARTICIPANTS_SHOWN, type ConversationView, type DeliveryState, type MessageView, type ParticipantView
} from '../../core/views.ts'

export interface InboxEvent { seq: number, epoch: string, type: string, [field: string]: any }

/** What the client keeps itself takes the place of `last_message` and `unread_count`. */
export interface ConversationCopy extends Omit<ConversationView, 'last_message' | 'unread_count'> {
  messages: ReadonlyMap<string, MessageView>
}

export interface Copy { userId: string, conversations: ReadonlyMap<string, ConversationCopy> }

export const emptyCopy = (userId: string): Copy => ({ userId, conversations: new Map() })

/** A copy from a snapshot: the conversation list, and the messages of each as far as they were fetched. */
export function openCopy (
  userId: string, conversations: ConversationView[], histories: ReadonlyMap<string, MessageView[]>
): Copy {
  return {
    userId,
    conversations: new Map(conversations.map(({ last_message, unread_count, ...conversation }) => [
      conversation.id, { ...conversation, messages: byId(histories.get(conversation.id) ?? []) }
    ]))
  }
}

export function apply (copy: Copy, event: InboxEvent): Copy {
  switch (event.type) {
    case 'new_message':
    case 'message_sent':
      return inConversation(
        copy, event.message.conversation_id, conversation => withMessage(conversation, event.message)
      )
    case 'message_edited':
      return inConversation(copy, event.message.conversation_id, conversation =>
        conversation.messages.has(event.message.id) ? withMessage(conversation, event.message) : conversation)
    case 'message_deleted':
      return inMessage(copy, event, message => tombstone(message, event.deleted_at))
    case 'reaction_added':
      return inMessage(
        copy, event, message => ({ ...message, reactions: withReaction(message.reactions, event as never) })
      )
    case 'reaction_removed':
      return inMessage(copy, event, message => ({
        ...message, reactions: message.reactions.filter(reaction => !sameReaction(reaction, event as never))
      }))
    case 'message_delivered':
      return inConversation(copy, event.conversation_id, conversation =>
        withMark(conversation, event.user_id, { last_delivered_seq: event.up_to_seq }))
    case 'message_read':
      return inConversation(copy, event.conversation_id, conversation =>
        withMark(conversation, event.reader_id, {
          last_delivered_seq: event.up_to_seq, last_read_seq: event.up_to_seq
        }))
    case 'conversation_created':
    case 'conversation_updated':
      return withConversation(copy, event.conversation)
    case 'participant_added':
      return inConversation(copy, event.conversation_id, conversation =>
        active(
          withCount(copy, withParticipant(conversation, participantOf(event)), event.participant_count),
          event.joined_at
        ))
    case 'participant_updated':
      return inConversation(copy, event.conversation_id, conversation => ({
        ...conversation,
        participants: conversation.participants.map(participant =>
          participant.user_id === event.user_id ? { ...participant, ...changesOf(event) } : participant)
      }))
    case 'participant_removed':
      if (event.user_id === copy.userId) return without(copy, event.conversation_id)
      return inConversation(copy, event.conversation_id, conversation => active(
        withCount(copy, withoutParticipant(conversation, event.user_id), event.participant_count),
        event.left_at
      ))
    default:
      throw new Error(`no rule for ${event.type}`)
  }
}

/** The list as it is shown: last activity first. */
export const inOrder = (copy: Copy): ConversationCopy[] => [...copy.conversations.values()].sort((a, b) =>
  compare(b.last_activity_at, a.last_activity_at) || compare(b.id, a.id))

export const messagesInOrder = ({ messages }: ConversationCopy): MessageView[] =>
  [...messages.values()].sort((a, b) => a.seq - b.seq)

export function unreadCount (copy: Copy, conversation: ConversationCopy): number {
  const read = ownMark(copy, conversation)
  return [...conversation.messages.values()].filter(({ seq, sender_user_id, deleted_at }) =>
    seq > read && sender_user_id !== copy.userId && deleted_at === null).length
}

const RANK: Record<DeliveryState, number> = { sent: 0, delivered: 1, read: 2 }
const higher = (a: DeliveryState, b: DeliveryState): DeliveryState => RANK[a] > RANK[b] ? a : b

/**
 * Of one's own message: what its last recipient has done, as far as is known; of others': whether
 * one has read it.
 */
export function statusOf (copy: Copy, conversation: ConversationCopy, message: MessageView): DeliveryState {
  if (message.sender_user_id !== copy.userId) {
    return message.seq <= ownMark(copy, conversation) ? 'read' : 'sent'
  }
  const recipients = conversation.participants.filter(({ user_id, joined_at }) =>
    user_id !== copy.userId && joined_at < message.created_at)
  if (recipients.length === 0) return message.status
  const reached = (mark: 'last_read_seq' | 'last_delivered_seq'): boolean =>
    recipients.every(recipient => recipient[mark] >= message.seq)
  return higher(message.status, reached('last_read_seq')
    ? 'read'
    : reached('last_delivered_seq') ? 'delivered' : 'sent')
}

const ownMark = (copy: Copy, { participants }: ConversationCopy): number =>
  participants.find(({ user_id }) => user_id === copy.userId)?.last_read_seq ?? 0

// A tombstone is final, and a status never falls.
function withMessage (conversation: ConversationCopy, message: MessageView): ConversationCopy {
  const held = conversation.messages.get(message.id)
  if (held !== undefined && held.deleted_at !== null) return conversation
  const merged = held === undefined ? message : { ...message, status: higher(held.status, message.status) }
  const changed = { ...conversation, messages: new Map(conversation.messages).set(message.id, merged) }
  return message.seq > conversation.last_seq
    ? active({ ...changed, last_seq: message.seq }, message.created_at)
    : changed
}

const tombstone = (message: MessageView, deletedAt: string): MessageView => message.deleted_at !== null
  ? message
  : {
      ...message,
      content: null,
      mentions: [],
      attachments: [],
      reactions: [],
      edited_at: null,
      deleted_at: deletedAt
    }

type Reaction = MessageView['reactions'][number]
const sameReaction = (a: Reaction, b: Reaction): boolean => a.user_id === b.user_id && a.emoji === b.emoji
const withReaction = (reactions: Reaction[], added: Reaction): Reaction[] =>
  reactions.some(reaction => sameReaction(reaction, added))
    ? reactions
    : [...reactions, { user_id: added.user_id, emoji: added.emoji }]

type Marks = Partial<Pick<ParticipantView, 'last_delivered_seq' | 'last_read_seq'>>

function withMark (
  conversation: ConversationCopy, userId: string, { last_delivered_seq = 0, last_read_seq = 0 }: Marks
): ConversationCopy {
  return {
    ...conversation,
    participants: conversation.participants.map(participant => participant.user_id !== userId
      ? participant
      : {
          ...participant,
          last_delivered_seq: Math.max(participant.last_delivered_seq, last_delivered_seq),
          last_read_seq: Math.max(participant.last_read_seq, last_read_seq)
        })
  }
}

function withConversation (copy: Copy, view: ConversationView | null): Copy {
  if (view === null) return copy
  const { last_message, unread_count, ...conversation } = view
  const messages = copy.conversations.get(view.id)?.messages ?? new Map()
  const replaced = { ...conversation, messages }
  return put(copy, last_message === null ? replaced : withMessage(replaced, last_message))
}

function withParticipant (conversation: ConversationCopy, added: ParticipantView): ConversationCopy {
  const others = conversation.participants.filter(({ user_id }) => user_id !== added.user_id)
  return {
    ...conversation,
    participants: [...others, added].sort((a, b) => compare(a.joined_at, b.joined_at) ||
      compare(a.user_id, b.user_id))
  }
}

const withoutParticipant = (conversation: ConversationCopy, userId: string): ConversationCopy => ({
  ...conversation, participants: conversation.participants.filter(({ user_id }) => user_id !== userId)
})

/** Of a large conversation nothing is told of the others, so what was known of them is given up. */
const withCount = (
  copy: Copy, conversation: ConversationCopy, participant_count: number
): ConversationCopy => ({
  ...conversation,
  participant_count,
  participants: participant_count <= MAX_PARTICIPANTS_SHOWN
    ? conversation.participants
    : conversation.participants.filter(({ user_id }) => user_id === copy.userId)
})

const participantOf = (
  { user_id, name, role, can_send_messages, joined_at, last_delivered_seq, last_read_seq }: InboxEvent
): ParticipantView =>
  ({ user_id, name, role, can_send_messages, joined_at, last_delivered_seq, last_read_seq })

const changesOf = (event: InboxEvent): Partial<ParticipantView> =>
  Object.fromEntries(['name', 'role', 'can_send_messages'].filter(field => field in event)
    .map(field => [field, event[field]]))

const active = (conversation: ConversationCopy, at: string): ConversationCopy =>
  at > conversation.last_activity_at ? { ...conversation, last_activity_at: at } : conversation

// What is told of a conversation or message that the client does not have is of no use to it.
function inConversation (
  copy: Copy, id: string, change: (conversation: ConversationCopy) => ConversationCopy
): Copy {
  const conversation = copy.conversations.get(id)
  return conversation === undefined ? copy : put(copy, change(conversation))
}

function inMessage (
  copy: Copy, { conversation_id, message_id }: InboxEvent, change: (message: MessageView) => MessageView
): Copy {
  return inConversation(copy, conversation_id, conversation => {
    const message = conversation.messages.get(message_id)
    if (message === undefined || message.deleted_at !== null) return conversation
    return { ...conversation, messages: new Map(conversation.messages).set(message_id, change(message)) }
  })
}

const put = (copy: Copy, conversation: ConversationCopy): Copy =>
  ({ ...copy, conversations: new Map(copy.conversations).set(conversation.id, conversation) })

function without (copy: Copy, id: string): Copy {
  const conversations = new Map(copy.conversations)
  conversations.delete(id)
  return { ...copy, conversations }
}

const byId = (messages: MessageView[]): Map<string, MessageView> =>
  new Map(messages.map(message => [message.id, message]))
const compare = (a: string, b: string): number => a < b ? -1 : a > b ? 1 : 0
