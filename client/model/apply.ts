/**
 * How an event changes the copy. The copy starts from a snapshot (or empty, before the
 * first event) and is given the events after the snapshot's `last_seq`, in order. An event may
 * show things as they are now rather than as they were, and what it tells may be in the
 * snapshot already: applying what is known changes nothing.
 */
import { type Change } from '../wire/events.ts'
import {
  MAX_PARTICIPANTS_SHOWN, type Conversation, type Message, type Participant
} from '../wire/views.ts'
import { compare, fromView } from './copy.ts'
import { type Copy, type HeldConversation } from './held.ts'
import { changed, withMessage } from './messages.ts'
import { ownMark, withMarkMoved } from './unread.ts'
import { cut, MAX_HELD } from './window.ts'

type Told<T extends Change['type']> = Extract<Change, { type: T }>

export function apply (copy: Copy, event: Change): Copy {
  switch (event.type) {
    case 'new_message':
    case 'message_sent':
      return inConversation(copy, event.message.conversation_id, conversation =>
        received(copy.userId, conversation, event.message))
    case 'message_edited':
    case 'message_deleted':
    case 'reaction_added':
    case 'reaction_removed':
      return inConversation(copy, conversationOf(event)!, conversation =>
        withChangedMessages(conversation, event))
    case 'message_delivered':
      return inConversation(copy, event.conversation_id, conversation =>
        withMark(copy.userId, conversation, event.user_id, { last_delivered_seq: event.up_to_seq }))
    case 'message_read':
      return inConversation(copy, event.conversation_id, conversation =>
        withMark(copy.userId, conversation, event.reader_id, {
          last_delivered_seq: event.up_to_seq, last_read_seq: event.up_to_seq
        }))
    case 'conversation_created':
    case 'conversation_updated':
      return withView(copy, event)
    case 'participant_added':
      return inConversation(copy, event.conversation_id, conversation => active(
        withCount(copy.userId, withParticipant(conversation, participantOf(event)), event.participant_count),
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
        withCount(copy.userId, withoutParticipant(conversation, event.user_id), event.participant_count),
        event.left_at
      ))
    case 'resync_required':
      return copy
    // Of a type that a newer server has.
    default:
      return copy
  }
}

/** Undefined for an event that is about none, or that brings its conversation along. */
export function conversationOf (event: Change): string | undefined {
  if ('message' in event) return event.message.conversation_id
  return 'conversation_id' in event ? event.conversation_id : undefined
}

/** The conversation that an event is about and the copy lacks, unless the event ends it. */
export function missing (copy: Copy, event: Change): string | undefined {
  const id = conversationOf(event)
  if (id === undefined || copy.conversations.has(id)) return undefined
  return event.type === 'participant_removed' && event.user_id === copy.userId ? undefined : id
}

/** What is below the window is history: it came before what is held, and is fetched from there. */
function received (userId: string, conversation: HeldConversation, message: Message): HeldConversation {
  if (message.seq < conversation.held_from) return conversation
  const longer = { ...conversation, messages: withMessage(conversation.messages, message) }
  if (message.seq <= conversation.last_seq) return longer
  const latest = active({ ...longer, last_seq: message.seq }, message.created_at)
  return latest.messages.size > MAX_HELD ? cut(userId, latest) : latest
}

function withChangedMessages (conversation: HeldConversation, event: Change): HeldConversation {
  const messages = changed(conversation.messages, event)
  if (messages !== conversation.messages) return { ...conversation, messages }
  // A message that is not held may have been counted.
  const counted = event.type === 'message_deleted' && conversation.unread_below > 0 &&
    !conversation.messages.has(event.message_id)
  return counted ? { ...conversation, recount: true } : conversation
}

type Marks = Partial<Pick<Participant, 'last_delivered_seq' | 'last_read_seq'>>

function withMark (
  userId: string, conversation: HeldConversation, markedId: string,
  { last_delivered_seq = 0, last_read_seq = 0 }: Marks
): HeldConversation {
  const before = ownMark(userId, conversation)
  return withMarkMoved(userId, {
    ...conversation,
    participants: conversation.participants.map(participant => participant.user_id !== markedId
      ? participant
      : {
          ...participant,
          last_delivered_seq: Math.max(participant.last_delivered_seq, last_delivered_seq),
          last_read_seq: Math.max(participant.last_read_seq, last_read_seq)
        })
  }, before)
}

function withView (
  copy: Copy, { type, conversation: view }: Told<'conversation_created' | 'conversation_updated'>
): Copy {
  if (view === null) return copy
  const held = copy.conversations.get(view.id)
  if (held !== undefined) return put(copy, replaced(copy.userId, held, view))
  // All that the user may see of a conversation that begins comes by events.
  return put(copy, type === 'conversation_created'
    ? { ...fromView(copy.userId, view), held_from: 0, unread_below: 0 }
    : fromView(copy.userId, view))
}

/** The window stays, and so does what is known of the messages before it. */
export function replaced (userId: string, held: HeldConversation, view: Conversation): HeldConversation {
  const { last_message, unread_count, ...conversation } = view
  const { messages, held_from, unread_below, recount } = held
  const latest = last_message === null ? messages : withMessage(messages, last_message)
  return withMarkMoved(
    userId, { ...conversation, messages: latest, held_from, unread_below, recount }, ownMark(userId, held)
  )
}

function withParticipant (conversation: HeldConversation, added: Participant): HeldConversation {
  const others = conversation.participants.filter(({ user_id }) => user_id !== added.user_id)
  return {
    ...conversation,
    participants: [...others, added].sort((a, b) => compare(a.joined_at, b.joined_at) ||
      compare(a.user_id, b.user_id))
  }
}

const withoutParticipant = (conversation: HeldConversation, userId: string): HeldConversation => ({
  ...conversation, participants: conversation.participants.filter(({ user_id }) => user_id !== userId)
})

/** Of a large conversation nothing is told of the others, so what was known of them is given up. */
const withCount = (
  userId: string, conversation: HeldConversation, participant_count: number
): HeldConversation => ({
  ...conversation,
  participant_count,
  participants: participant_count <= MAX_PARTICIPANTS_SHOWN
    ? conversation.participants
    : conversation.participants.filter(({ user_id }) => user_id === userId)
})

const participantOf = ({
  user_id, name, role, can_send_messages, joined_at, last_delivered_seq, last_read_seq
}: Told<'participant_added'>): Participant =>
  ({ user_id, name, role, can_send_messages, joined_at, last_delivered_seq, last_read_seq })

const changesOf = (event: Told<'participant_updated'>): Partial<Participant> => ({
  ...('name' in event ? { name: event.name } : {}),
  ...('role' in event ? { role: event.role } : {}),
  ...('can_send_messages' in event ? { can_send_messages: event.can_send_messages } : {})
})

const active = (conversation: HeldConversation, at: string): HeldConversation =>
  at > conversation.last_activity_at ? { ...conversation, last_activity_at: at } : conversation

function inConversation (
  copy: Copy, id: string, change: (conversation: HeldConversation) => HeldConversation
): Copy {
  const conversation = copy.conversations.get(id)
  return conversation === undefined ? copy : put(copy, change(conversation))
}

export const put = (copy: Copy, conversation: HeldConversation): Copy =>
  ({ ...copy, conversations: new Map(copy.conversations).set(conversation.id, conversation) })

function without (copy: Copy, id: string): Copy {
  const conversations = new Map(copy.conversations)
  conversations.delete(id)
  return { ...copy, conversations }
}
