/**
 * What a user sees, in one shape for a fresh snapshot and for a copy kept by events.
 *
 * Five things are no part of it, because no event tells them: how far others have
 * got beyond one's own messages (a mark counts as that of the last own message
 * below it), which of one's own devices has acknowledged what, the status of
 * messages sent to a user who has left since (`departed`), that of messages which a block keeps from
 * the other side (`held`: they stay sent, and cumulative marks pass over them), and in a large
 * conversation (`untold`) that of one's own messages, and names.
 */
import { fromView, inOrder, messagesInOrder } from '../../client/model/copy.ts'
import { type Copy } from '../../client/model/held.ts'
import { statusOf } from '../../client/model/status.ts'
import { unreadCount } from '../../client/model/unread.ts'
import {
  MAX_PARTICIPANTS_SHOWN, type ConversationView, type DeliveryState, type MessageView
} from '../../core/views.ts'

export interface Snapshot {
  lastSeq: number
  conversations: ConversationView[]
  /** By conversation, oldest first. */
  histories: Map<string, MessageView[]>
}

export interface Untold {
  /** The last message that was sent before a participant left, by conversation. */
  departures: ReadonlyMap<string, number>
  /** Messages that a block keeps from the other side. */
  held: ReadonlySet<string>
}

export const showSnapshot = (
  userId: string, { conversations, histories }: Snapshot, untold: Untold
): object[] =>
  conversations.map(conversation => {
    const messages = histories.get(conversation.id)!
    const show = shower(userId, conversation, untold, message => message.status)
    return {
      ...conversation,
      last_message: conversation.last_message === null ? null : show(conversation.last_message),
      participants: normalised(userId, conversation, messages),
      messages: messages.map(show)
    }
  })

/** A copy from a snapshot with the whole of each history. */
export const openCopy = (userId: string, { conversations, histories }: Snapshot): Copy => ({
  userId,
  conversations: new Map(conversations.map(view => [view.id, {
    ...fromView(userId, view),
    messages: new Map(histories.get(view.id)!.map(message => [message.id, message])),
    held_from: 0,
    unread_below: 0
  }]))
})

export const showCopy = (copy: Copy, untold: Untold): object[] =>
  inOrder(copy).map(({ messages: _, held_from, unread_below, recount, ...conversation }) => {
    const held = copy.conversations.get(conversation.id)!
    const messages = messagesInOrder(held)
    const show = shower(copy.userId, conversation, untold, message => statusOf(copy.userId, held, message))
    return {
      ...conversation,
      last_message: messages.length === 0 ? null : show(messages.at(-1)!),
      unread_count: unreadCount(copy.userId, held),
      participants: normalised(copy.userId, conversation, messages),
      messages: messages.map(show)
    }
  })

const shower = (
  userId: string, { id, participant_count }: { id: string, participant_count: number },
  { departures, held }: Untold, status: (message: MessageView) => DeliveryState
) =>
  (message: MessageView): object => {
    const own = message.sender_user_id === userId
    const shown = status(message)
    if (own && participant_count > MAX_PARTICIPANTS_SHOWN) return { ...message, status: 'untold' }
    if (own && held.has(message.id)) return { ...message, status: 'held' }
    if (own && message.seq <= (departures.get(id) ?? 0)) return { ...message, status: 'departed' }
    return { ...message, status: own || shown === 'read' ? shown : 'unread' }
  }

function normalised (
  userId: string,
  { participants, participant_count }: Pick<ConversationView, 'participants' | 'participant_count'>,
  messages: MessageView[]
): object[] {
  const own = messages.filter(message => message.sender_user_id === userId).map(message => message.seq)
  const known = (mark: number): number => Math.max(0, ...own.filter(seq => seq <= mark))
  return participants.map(({ last_delivered_seq, ...participant }) => {
    if (participant_count > MAX_PARTICIPANTS_SHOWN) return { ...participant, name: 'untold' }
    if (participant.user_id === userId) return participant
    return {
      ...participant,
      last_read_seq: known(participant.last_read_seq),
      last_delivered_seq: known(last_delivered_seq)
    }
  })
}
