/** How far a message has got, from the marks of those who were there to get it. */
import { type DeliveryState, type Message } from '../wire/views.ts'
import { type HeldConversation } from './held.ts'
import { higher } from './messages.ts'
import { ownMark } from './unread.ts'

/**
 * Of one's own message: what its last recipient has done, as far as is known; of others':
 * whether one has read it.
 */
export function statusOf (userId: string, conversation: HeldConversation, message: Message): DeliveryState {
  if (message.sender_user_id !== userId) {
    return message.seq <= ownMark(userId, conversation) ? 'read' : 'sent'
  }
  const recipients = conversation.participants.filter(({ user_id, joined_at }) =>
    user_id !== userId && joined_at < message.created_at)
  if (recipients.length === 0) return message.status
  const reached = (mark: 'last_read_seq' | 'last_delivered_seq'): boolean =>
    recipients.every(recipient => recipient[mark] >= message.seq)
  return higher(message.status, reached('last_read_seq')
    ? 'read'
    : reached('last_delivered_seq') ? 'delivered' : 'sent')
}
