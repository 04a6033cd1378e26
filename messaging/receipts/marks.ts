/**
 * Decides what acknowledgements and read receipts of one batch change: which
 * marks rise, and which senders are told. Marks only rise, so a stale or repeated
 * receipt changes nothing.
 */
import { type Delivery } from '../../core/events.ts'
import { type NewEvent } from '../../store/log/inbox.ts'
import { type ReadMark, type RisingRead } from '../../store/log/read-marks.ts'
import { type DeliveredMark, type Participant, type RaisedMarks } from '../../store/log/receipts.ts'

/** A user acknowledged what these deliver. */
export interface Acknowledged { userId: string, deliveries: Delivery[] }

export interface ReceiptPlan {
  marks: Map<string, RaisedMarks>
  /** Of stays that ended before the user came back. */
  earlierMarks: RaisedMarks[]
  events: NewEvent[]
  /** When the oldest message of each delivered receipt was stored, milliseconds since 1970. */
  storedAt: number[]
}

/** The last message of each sender in a conversation that a user has acknowledged. */
interface Reached extends Participant { upTo: number, bySender: Map<string, Delivery> }

/** What was acknowledged, by conversation and user. */
export function reachedBy (acknowledged: Acknowledged[]): Map<string, Reached> {
  const reached = new Map<string, Reached>()
  for (const { userId, deliveries } of acknowledged) {
    for (const delivery of deliveries) {
      const key = participantKey(delivery.conversation_id, userId)
      let own = reached.get(key)
      if (own === undefined) {
        own = { conversation_id: delivery.conversation_id, user_id: userId, upTo: 0, bySender: new Map() }
        reached.set(key, own)
      }
      own.upTo = Math.max(own.upTo, delivery.seq)
      const known = own.bySender.get(delivery.sender_user_id)
      own.bySender.set(delivery.sender_user_id, known === undefined ? delivery : merged(known, delivery))
    }
  }
  return reached
}

/** The later of two deliveries of one sender, stored when the earlier one was. */
export const merged = (one: Delivery, other: Delivery): Delivery =>
  ({ ...(one.seq > other.seq ? one : other), stored_at: Math.min(one.stored_at, other.stored_at) })

/**
 * An acknowledgement is cumulative: what came in earlier stays lies before it in the log, so it is
 * delivered too. `before` has the stays in which something is left to deliver.
 */
export function planDelivered (
  reached: Iterable<Reached>, before: DeliveredMark[], at: Date
): ReceiptPlan {
  const plan: ReceiptPlan = { marks: new Map(), earlierMarks: [], events: [], storedAt: [] }
  const staysOf = new Map<string, DeliveredMark[]>()
  for (const stay of before) {
    const key = participantKey(stay.conversation_id, stay.user_id)
    staysOf.set(key, [...staysOf.get(key) ?? [], stay])
  }
  const deliveredAt = at.toISOString()
  for (const { conversation_id, user_id, upTo, bySender } of reached) {
    const key = participantKey(conversation_id, user_id)
    const rising = (staysOf.get(key) ?? []).filter(stay =>
      stay.joined_seq < upTo && stay.last_delivered_seq < endOf(stay, upTo))
    for (const stay of rising) {
      const delivered = endOf(stay, upTo)
      const { ended_seq } = stay
      const mark = {
        conversation_id,
        user_id,
        ended_seq,
        delivered,
        read: 0,
        read_client_at: null,
        told: toldTo(bySender),
        since: stay
      }
      if (ended_seq === null) plan.marks.set(key, mark)
      else plan.earlierMarks.push(mark)
    }
    for (const [sender, { message_id, seq, stored_at, told }] of bySender) {
      const news = rising.some(stay => seq > stay.last_delivered_seq && seq <= endOf(stay, upTo))
      if (!news || !told) continue
      plan.storedAt.push(stored_at)
      plan.events.push({
        user_id: sender,
        type: 'message_delivered',
        conversation_id,
        message_id,
        data: { user_id, up_to_seq: seq, delivered_at: deliveredAt }
      })
    }
  }
  return plan
}

const toldTo = (bySender: Map<string, Delivery>): boolean => [...bySender.values()].some(({ told }) => told)
const endOf = ({ ended_seq }: DeliveredMark, upTo: number): number => Math.min(ended_seq ?? upTo, upTo)

/**
 * Adds what was read: an event for each sender, and one for the reader's own devices. Read implies delivered.
 */
export function planRead (
  rising: RisingRead[], asked: Map<string, ReadMark & { message_id: string }>, at: Date, plan: ReceiptPlan
): void {
  const readAt = at.toISOString()
  const own = new Map<string, NewEvent>()
  for (const {
    conversation_id, user_id, joined_seq, last_delivered_seq, last_read_seq, read_up_to, told, ...last
  } of rising) {
    const key = participantKey(conversation_id, user_id)
    const { client_at, message_id } = asked.get(key)!
    const event = (to: string, messageId: string | null, upTo: number): NewEvent => ({
      user_id: to,
      type: 'message_read',
      conversation_id,
      message_id: messageId,
      data: { reader_id: user_id, up_to_seq: upTo, read_at: readAt }
    })
    if (last.sender_user_id !== null) {
      plan.events.push(event(last.sender_user_id, last.message_id, last.up_to_seq!))
    }
    if (own.has(key)) continue
    own.set(key, event(user_id, message_id, read_up_to))
    const acknowledged = plan.marks.get(key)
    const delivered =
      Math.max(acknowledged?.delivered ?? 0, last_delivered_seq < read_up_to ? read_up_to : 0)
    const { since = { joined_seq, last_delivered_seq } } = acknowledged ?? {}
    plan.marks.set(key, {
      conversation_id,
      user_id,
      ended_seq: null,
      delivered,
      read: read_up_to,
      read_client_at: client_at,
      told,
      since: { last_read_seq, ...since }
    })
  }
  plan.events.push(...own.values())
}

export const participantKey = (conversationId: string, userId: string): string =>
  `${conversationId} ${userId}`
