/** How receipts become inbox events, for acknowledgements and for reads. */
import { type WakeEvent } from '../deliver/wakes.ts'
import { encodeBody, type EventType } from '../../core/events.ts'
import { type AppendedEvent, type NewEvent } from '../../store/log/inbox.ts'
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

/** The fields of an event that refers to things rather than carrying a message or conversation. */
export const referenceFields = (event: {
  conversation_id: string | null, message_id?: string | null, data?: Record<string, unknown> | null
}): object => ({
  ...(event.message_id == null ? {} : { message_id: event.message_id }),
  ...(event.conversation_id === null ? {} : { conversation_id: event.conversation_id }),
  ...event.data
})

/** Wakes that carry their event, for events made of references. */
export const wakesFor = (epoch: string, events: AppendedEvent[]): WakeEvent[] => events.map(event => ({
  userId: event.user_id, seq: event.seq, body: encodeBody(epoch, event.type, referenceFields(event))
}))

/** Wakes for events whose rendering needs a read: the listeners do it when they get there. */
export const hintsFor = (events: Array<{ user_id: string, seq: number, type: EventType }>): WakeEvent[] =>
  events.map(event => ({ userId: event.user_id, seq: event.seq }))
