/** What nodes tell each other. A body shared by many recipients travels once. */
import { type Delivery, type EventBody, type EventType } from '../../core/events.ts'
import { type Revocation } from '../../store/people/revocations.ts'
import { type Opening } from './cluster.ts'
import { type AnswerMessage, type QuestionMessage } from './questions-redis.ts'
import { type WakeEvent } from '../deliver/wakes.ts'

export type ClusterMessage = QuestionMessage | AnswerMessage | { from: string } & (
  | { kind: 'wake', events: WakeEvent[] }
  | { kind: 'live', userIds: string[], payload: Buffer }
  | { kind: 'opened', opening: Opening }
  | { kind: 'revoked', revocation: Revocation }
  | { kind: 'push_due' }
  | { kind: 'nodes_changed' })

/** `events`: [user, seq, index into `bodies` or -1, the device that knows it]. */
interface WireWake {
  kind: 'wake'
  from: string
  /** Of the bodies: they are rendered together. */
  epoch?: string
  bodies: Array<[EventType, string, Delivery?]>
  events: Array<[string, number, number, string?]>
}
interface WireLive { kind: 'live', from: string, users: string[], payload: string }
interface WireRevoked { kind: 'revoked', from: string, user: string, valid_after: number }
type WirePlain = {
  kind: 'opened', from: string, opening: Opening
} | { kind: 'push_due' | 'nodes_changed', from: string }

export function encodeWake (events: WakeEvent[], from: string): string {
  const indexes = new Map<EventBody, number>()
  const epoch = events.find(event => event.body !== undefined)?.body?.epoch
  const wire: WireWake = { kind: 'wake', from, epoch, bodies: [], events: [] }
  for (const { userId, seq, body, knownTo } of events) {
    if (body !== undefined && !indexes.has(body)) {
      indexes.set(body, wire.bodies.push([body.type, body.tail.toString(), body.delivers]) - 1)
    }
    const index = body === undefined ? -1 : indexes.get(body)!
    wire.events.push(knownTo === undefined ? [userId, seq, index] : [userId, seq, index, knownTo])
  }
  return JSON.stringify(wire)
}

export const encodeLive = (users: string[], payload: Buffer, from: string): string =>
  JSON.stringify({ kind: 'live', from, users, payload: payload.toString() } satisfies WireLive)

export const encodeRevoked = ({ userId, validAfter }: Revocation, from: string): string =>
  JSON.stringify(
    { kind: 'revoked', from, user: userId, valid_after: validAfter.getTime() } satisfies WireRevoked
  )

/** Throws on anything that no node of this version sends. */
export function decodeMessage (text: string): ClusterMessage {
  const wire =
    JSON.parse(text) as WireWake | WireLive | WireRevoked | WirePlain | QuestionMessage | AnswerMessage
  switch (wire.kind) {
    case 'wake': {
      const bodies = wire.bodies.map(body => decodeBody(wire.epoch, body))
      return {
        kind: 'wake',
        from: wire.from,
        events: wire.events.map(([userId, seq, index, knownTo]) =>
          ({ userId, seq, body: bodies[index], knownTo }))
      }
    }
    case 'live': return {
      kind: 'live', from: wire.from, userIds: wire.users, payload: Buffer.from(wire.payload)
    }
    case 'revoked': return {
      kind: 'revoked',
      from: wire.from,
      revocation: { userId: wire.user, validAfter: new Date(wire.valid_after) }
    }
    case 'question':
    case 'answer':
    case 'opened':
    case 'push_due':
    case 'nodes_changed': return wire
    default: throw new Error('unknown kind of notice')
  }
}

// A node of an earlier version says neither the epoch nor what a message delivers: its events are read from
// the log.
const decodeBody = (
  epoch: string | undefined, [type, tail, delivers]: WireWake['bodies'][number]
): EventBody | undefined =>
  epoch === undefined || (type === 'new_message' && delivers == null)
    ? undefined
    : { epoch, type, tail: Buffer.from(tail), delivers: delivers ?? undefined }
