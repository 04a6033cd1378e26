/**
 * PUBLISH packets of a user's own topics, written straight to the connection.
 *
 * They never pass through Aedes, so their packet identifiers come from ranges
 * of their own: a stored session's packets keep their identifiers across
 * reconnects and must not meet these.
 */
import { eventHead } from '../../core/events.ts'
import { type PumpEvent } from '../../messaging/deliver/pump.ts'

/** Identifiers up to here are Aedes's. */
const LAST_AEDES_ID = 16_383
/** Of the queue of a stored session (acl/session-queue.ts). */
const FIRST_QUEUE_ID = LAST_AEDES_ID + 1
const QUEUE_IDS = 16_384
const FIRST_INBOX_ID = FIRST_QUEUE_ID + QUEUE_IDS
const INBOX_IDS = 32_000
const FIRST_REPLY_ID = FIRST_INBOX_ID + INBOX_IDS
const REPLY_IDS = 65_535 - FIRST_REPLY_ID + 1

export const isInboxId = (id: number): boolean => id >= FIRST_INBOX_ID && id < FIRST_REPLY_ID
export const isOwnId = (id: number): boolean => id >= FIRST_INBOX_ID
export const isQueueId = (id: number): boolean => id >= FIRST_QUEUE_ID && id < FIRST_INBOX_ID
/**
 * Identifier of the n-th message of a session's queue. The queue is far shorter than the
 * range, and a redelivery carries the same identifier [MQTT-4.4.0-1].
 */
export const queueId = (n: number): number => FIRST_QUEUE_ID + n % QUEUE_IDS
/** Identifier of the n-th reply on a connection. Replies are not tracked, so the range is simply reused. */
export const replyId = (n: number): number => FIRST_REPLY_ID + n % REPLY_IDS

// A window is far smaller than the range and events are dense. So the sequence
// number gives the identifier, and above `ackedSeq` the identifier gives the
// sequence number: nothing is remembered per packet, and a redelivery after a
// reconnect carries the same identifier [MQTT-4.4.0-1].
export const inboxId = (seq: number): number => FIRST_INBOX_ID + seq % INBOX_IDS

/** The one sequence number above `ackedSeq` that is sent with this identifier. */
export function seqOfInboxId (id: number, ackedSeq: number): number {
  const from = ackedSeq + 1
  return from + (id - FIRST_INBOX_ID - from % INBOX_IDS + INBOX_IDS) % INBOX_IDS
}

/**
 * Aedes numbers packets from 1 to 65535; this leaves it the lowest quarter. It still
 * starts at a random number, since the packets of a stored session come with the
 * identifiers they had.
 */
export function keepIdsApart (client: { _nextId: number }): void {
  if (Object.getOwnPropertyDescriptor(client, '_nextId')?.get !== undefined) return
  let id = client._nextId
  Object.defineProperty(client, '_nextId', {
    get: () => id % LAST_AEDES_ID + 1,
    set: () => { id = id % LAST_AEDES_ID + 1 }
  })
}

const QOS_0 = 0x30
const QOS_1 = 0x32
const DUP = 0x08

/**
 * One buffer with a PUBLISH for each event, so that any number of them is one write. Those up to
 * `sentBefore` were sent before [MQTT-3.3.1-1].
 */
export function encodeEvents (
  topic: string, events: PumpEvent[], qos: 0 | 1, sentBefore = 0
): Buffer {
  const heads = events.map(event => eventHead(event.seq))
  const sizes =
    events.map((event, i) => remainingLength(topic, qos, heads[i]!.length + event.body.tail.length))
  const buffer = Buffer.allocUnsafe(sizes.reduce((sum, size) => sum + 1 + varintLength(size) + size, 0))
  let at = 0
  events.forEach(({ seq, body }, i) => {
    const start = at
    at = writeHeader(buffer, at, topic, qos, sizes[i]!, inboxId(seq))
    if (qos === 1 && seq <= sentBefore) buffer[start]! |= DUP
    at += buffer.write(heads[i]!, at, 'latin1')
    at += body.tail.copy(buffer, at)
  })
  return buffer
}

export function encodePublish (topic: string, payload: Buffer, qos: 0 | 1 = 0, id = 0): Buffer {
  const size = remainingLength(topic, qos, payload.length)
  const buffer = Buffer.allocUnsafe(1 + varintLength(size) + size)
  payload.copy(buffer, writeHeader(buffer, 0, topic, qos, size, id))
  return buffer
}

// User ids are ASCII, so a topic has as many bytes as characters.
const remainingLength = (topic: string, qos: 0 | 1, payload: number): number => 2 + topic.length +
  (qos === 1 ? 2 : 0) + payload

function writeHeader (
  buffer: Buffer, start: number, topic: string, qos: 0 | 1, size: number, id: number
): number {
  let at = start
  buffer[at++] = qos === 1 ? QOS_1 : QOS_0
  let rest = size
  do {
    buffer[at++] = (rest & 0x7F) | (rest > 0x7F ? 0x80 : 0)
    rest >>>= 7
  } while (rest > 0)
  at = buffer.writeUInt16BE(topic.length, at)
  at += buffer.write(topic, at, 'latin1')
  return qos === 1 ? buffer.writeUInt16BE(id, at) : at
}

const varintLength = (value: number): number =>
  value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x200000 ? 3 : 4
