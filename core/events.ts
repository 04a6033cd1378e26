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

/** The shared part of an event: `,"epoch":"…","type":"…",…}` as UTF-8. */
export interface EventBody { type: EventType, tail: Buffer }

export const encodeBody = (epoch: string, type: EventType, fields: object): EventBody =>
  ({ type, tail: tailOf(epoch, type, JSON.stringify(fields)) })

// A message that was sent is encoded for its events, and then answered to its sender.
const encoded = new WeakMap<object, string>()

/** `value` as JSON. A message whose events were encoded is not encoded again. */
export const encodeJson = (value: unknown): string =>
  (typeof value === 'object' && value !== null ? encoded.get(value) : undefined) ?? JSON.stringify(value)

/** Encodes `message`, which does not change any more, once for the two events that carry it. */
export function encodeMessageBodies (
  epoch: string, message: MessageView
): { received: EventBody, sent: EventBody } {
  const text = JSON.stringify(message)
  encoded.set(message, text)
  const fields = `{"message":${text}}`
  return {
    received: { type: 'new_message', tail: tailOf(epoch, 'new_message', fields) },
    sent: { type: 'message_sent', tail: tailOf(epoch, 'message_sent', fields) }
  }
}

function tailOf (epoch: string, type: EventType, fields: string): Buffer {
  const rest = fields === '{}' ? '}' : `,${fields.slice(1)}`
  return Buffer.from(`,"epoch":${JSON.stringify(epoch)},"type":"${type}"${rest}`)
}

export const eventHead = (seq: number): string => `{"seq":${seq}`

export const eventObject = (seq: number, body: EventBody): Record<string, unknown> =>
  JSON.parse(eventHead(seq) + body.tail.toString())

/** Only these are worth waking a phone for. */
export const wakesPhones = (type: EventType): boolean => type === 'new_message'
