/**
 * Inbox events and how they look on the wire.
 *
 * An event is `{"seq":…,"epoch":…,"type":…,…}`. Everything after `seq` is the
 * same for every recipient, so it is encoded once and shared; only the number
 * in front is written for each user.
 */
import type { MessageView } from './views.ts'

export const EVENT_TYPES = [
  'new_message', 'message_sent', 'message_edited', 'message_deleted',
  'message_delivered', 'message_read', 'reaction_added', 'reaction_removed',
  'conversation_created', 'conversation_updated',
  'participant_added', 'participant_removed', 'participant_updated',
  'resync_required'
] as const

export type EventType = (typeof EVENT_TYPES)[number]

/** The message that reaches a user with a `new_message`: what its acknowledgement says to the sender. */
export interface Delivery {
  conversation_id: string
  sender_user_id: string
  message_id: string
  /** Of the message in its conversation. */
  seq: number
  /** When it was stored, milliseconds since 1970. */
  stored_at: number
  /** False in large conversations: receipts are recorded, the sender is not told. */
  told: boolean
}

/** The shared part of an event: `,"epoch":"…","type":"…",…}` as UTF-8. */
export interface EventBody {
  epoch: string
  type: EventType
  tail: Buffer
  /** Present for `new_message`. */
  delivers?: Delivery
}

export const encodeBody = (epoch: string, type: EventType, fields: object): EventBody =>
  ({ epoch, type, tail: tailOf(epoch, type, JSON.stringify(fields)) })

/** Encodes `message` once for the two events that carry it. `told`: the sender hears of receipts. */
export function encodeMessageBodies (
  epoch: string, message: MessageView, told: boolean
): { received: EventBody, sent: EventBody } {
  const fields = `{"message":${JSON.stringify(message)}}`
  return {
    received: {
      epoch,
      type: 'new_message',
      tail: tailOf(epoch, 'new_message', fields),
      delivers: deliveryOf(message, told)
    },
    sent: { epoch, type: 'message_sent', tail: tailOf(epoch, 'message_sent', fields) }
  }
}

export const deliveryOf = (message: MessageView, told: boolean): Delivery => ({
  conversation_id: message.conversation_id,
  sender_user_id: message.sender_user_id,
  message_id: message.id,
  seq: message.seq,
  stored_at: Date.parse(message.created_at),
  told
})

function tailOf (epoch: string, type: EventType, fields: string): Buffer {
  const rest = fields === '{}' ? '}' : `,${fields.slice(1)}`
  return Buffer.from(`,"epoch":${JSON.stringify(epoch)},"type":"${type}"${rest}`)
}

export const eventHead = (seq: number): string => `{"seq":${seq}`

export const eventObject = (seq: number, body: EventBody): Record<string, unknown> =>
  JSON.parse(eventHead(seq) + body.tail.toString())

/** Only these are worth waking a phone for. */
export const wakesPhones = (type: EventType): boolean => type === 'new_message'
