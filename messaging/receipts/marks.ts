/** How receipts become inbox events, for acknowledgements and for read receipts. */
import { type NewEvent } from '../../store/log/inbox.ts'
import { type ReadReceipt, type Receipt } from '../../store/log/receipts.ts'

export const deliveredEvents = (receipts: Receipt[], at: Date): NewEvent[] => receipts.map(receipt => ({
  user_id: receipt.sender_user_id,
  type: 'message_delivered',
  conversation_id: receipt.conversation_id,
  message_id: receipt.message_id,
  data: { user_id: receipt.user_id, up_to_seq: receipt.up_to_seq, delivered_at: at.toISOString() }
}))

/** One event for each sender, and one for the reader's own devices about the message that was read. */
export function readEvents (
  receipts: ReadReceipt[], readMessageIds: Map<string, string>, at: Date
): NewEvent[] {
  const events: NewEvent[] = []
  const own = new Map<string, NewEvent>()
  for (const receipt of receipts) {
    const event = (userId: string, messageId: string | null, upTo: number): NewEvent => ({
      user_id: userId,
      type: 'message_read',
      conversation_id: receipt.conversation_id,
      message_id: messageId,
      data: { reader_id: receipt.user_id, up_to_seq: upTo, read_at: at.toISOString() }
    })
    if (receipt.sender_user_id !== null) {
      events.push(event(receipt.sender_user_id, receipt.message_id, receipt.up_to_seq))
    }
    const key = readKey(receipt.conversation_id, receipt.user_id)
    own.set(key, event(receipt.user_id, readMessageIds.get(key) ?? null, receipt.read_up_to))
  }
  return [...events, ...own.values()]
}

export const readKey = (conversationId: string, userId: string): string => `${conversationId} ${userId}`
