/** The promises, each as a check over what clients know and what the system says at the end. Pure: no I/O. */
import { attachmentsKept } from './checks/attachments.ts'
import { receivedAsLogged, receivedInOrder } from './checks/devices.ts'
import { editsHold } from './checks/edits.ts'
import { nothingOfTheErased } from './checks/erasures.ts'
import { everyMessagePushed, pushedOnce } from './checks/pushes.ts'
import { reactionsHold } from './checks/reactions.ts'
import { streamsTell } from './checks/streams.ts'
import { isTracked } from './devices/shown.ts'
import { carriesMessage, describeEvent, type Event } from './event.ts'
import { messagesById, type Evidence } from './evidence.ts'
import { grouped } from './grouped.ts'
import { type Ledger, type Send, type WatchedMessage } from './ledger.ts'

export interface Violation { promise: string, detail: string }

type Check = (ledger: Ledger, evidence: Evidence) => Iterable<string>

/** The table of contents: the promise, and what looks for its breach. */
export const CHECKS: Record<string, Check> = {
  'an accepted message is in every participant\'s log exactly once': loggedOnce,
  'a message has one id and one place, however often it was sent': oneAnswer,
  'a device receives its log in order and without a hole': receivedInOrder,
  'a device receives what the log says': receivedAsLogged,
  'a stream of gRPC tells what happens once and in order, and histories have the rest': streamsTell,
  'nothing is there that was not sent': nothingInvented,
  'a sender\'s messages keep their order': orderKept,
  'a status only rises': statusesRise,
  'a receipt is not lost': receiptsKept,
  'an accepted edit is what everybody reads, and was told once': editsHold,
  'an accepted reaction holds, and was told once': reactionsHold,
  'an attachment of an accepted message can be read by every participant': attachmentsKept,
  'an erasure is finished and leaves nothing of what the user said': nothingOfTheErased,
  'every unacknowledged message of an absent user was pushed': everyMessagePushed,
  'a push is repeated only after a fault that explains it': pushedOnce,
  'no event reaches another user': nobodyElses,
  'sequences are dense and have one epoch': sequencesDense,
  'nothing unexpected happens on the way': ledger => ledger.incidents
}

export function check (ledger: Ledger, evidence: Evidence): Violation[] {
  return Object.entries(CHECKS)
    .flatMap(([promise, find]) => [...find(ledger, evidence)].map(detail => ({ promise, detail })))
}

function * loggedOnce ({ sends, members }: Ledger, { inboxes, histories }: Evidence): Generator<string> {
  const logged = new Map([...inboxes].map(([userId, { events }]) => [userId, byClientId(events)]))
  const told = new Map(histories.map(({ conversationId, readerId, messages }) =>
    [
      `${conversationId} ${readerId}`,
      count(messages.map(({ senderId, clientMessageId }) => `${senderId} ${clientMessageId}`))
    ]))
  for (const send of sends.values()) {
    const accepted = send.acceptances.length > 0
    const right = (times: number): boolean => times === 1 || (times === 0 && !accepted)
    for (const userId of members.get(send.conversationId)!) {
      const events = logged.get(userId)?.get(`${send.senderId} ${send.clientMessageId}`) ?? []
      if (!right(events.length)) {
        const outcome = accepted ? 'accepted' : 'undecided'
        yield `${send.clientMessageId} (${outcome}) is ${events.length} times in the inbox of ${userId}`
      }
      const type = userId === send.senderId ? 'message_sent' : 'new_message'
      for (const event of events.filter(event => event.type !== type)) {
        yield `${userId} has ${describeEvent(event)} where ${type} belongs`
      }
      const times =
        told.get(`${send.conversationId} ${userId}`)?.get(`${send.senderId} ${send.clientMessageId}`) ?? 0
      if (!right(times)) yield `${send.clientMessageId} is ${times} times in the history that ${userId} reads`
    }
  }
}

function * oneAnswer ({ sends }: Ledger, { histories }: Evidence): Generator<string> {
  const stored =
    new Map(histories.flatMap(({ messages }) => messages.map(message => [message.clientMessageId, message])))
  for (const { clientMessageId, acceptances } of sends.values()) {
    const message = stored.get(clientMessageId)
    for (const { messageId, seq } of acceptances) {
      if (messageId === undefined) continue
      if (message?.id === messageId && (seq === undefined || message.seq === seq)) continue
      yield `${clientMessageId} was answered as ${messageId} at ${seq}, ` +
        `and is stored as ${message?.id} at ${message?.seq}`
    }
  }
}

function * nothingInvented (
  { sends, devices, edited, erasures }: Ledger, { inboxes, histories }: Evidence
): Generator<string> {
  const versions = new Map([...edited.values()].map(({ clientMessageId, edits }) =>
    [clientMessageId, new Set(edits.map(({ content }) => content))]))
  const saidByErased = new Map(erasures.map(({ userId, contents }) => [userId, new Set(contents)]))
  const known = (
    clientMessageId: string | undefined, senderId: string | undefined, conversationId: string | undefined,
    content: string | undefined
  ): boolean => {
    const erased = saidByErased.get(senderId ?? '')
    if (erased !== undefined) return content === undefined || erased.has(content)
    const send = sends.get(clientMessageId ?? '')
    return send !== undefined && send.senderId === senderId && send.conversationId === conversationId &&
      (send.content === content || versions.get(send.clientMessageId)?.has(content!) === true)
  }
  const unknown = (event: Event): boolean => (carriesMessage(event) || event.type === 'message_edited') &&
    !known(event.clientMessageId, event.senderId, event.conversationId, event.content)
  for (const [userId, { events }] of inboxes) {
    for (const event of events.filter(unknown)) yield `the inbox of ${userId} has ${describeEvent(event)}`
  }
  for (const { userId, deviceId, connections } of devices) {
    for (const event of connections.flat().filter(unknown)) {
      yield `${userId}/${deviceId} received ${describeEvent(event)}`
    }
  }
  for (const { conversationId, readerId, messages } of histories) {
    for (const { id, senderId, clientMessageId, content } of messages) {
      if (!known(clientMessageId, senderId, conversationId, content)) {
        yield `the history of ${conversationId} has ${id} (${clientMessageId}) for ${readerId}`
      }
    }
  }
}

function * orderKept ({ sends }: Ledger, { histories }: Evidence): Generator<string> {
  for (const { conversationId, readerId, messages } of histories) {
    const last = new Map<string, Send>()
    for (const { clientMessageId, seq } of messages) {
      const send = sends.get(clientMessageId ?? '')
      if (send === undefined) continue
      const before = last.get(send.lane)
      if (before !== undefined && before.counter >= send.counter) {
        yield `in ${conversationId}, as ${readerId} reads it, ` +
          `${send.clientMessageId} (seq ${seq}) comes after ${before.clientMessageId}`
      }
      last.set(send.lane, send)
    }
  }
}

const RANKS = ['sent', 'delivered', 'read']

function * statusesRise ({ watched }: Ledger, { inboxes }: Evidence): Generator<string> {
  for (const message of watched.values()) yield * fallsOf(message)
  for (const [userId, { events }] of inboxes) {
    const marks = new Map<string, Event>()
    for (const event of events) {
      if (event.type !== 'message_delivered' && event.type !== 'message_read') continue
      // To the reader's own devices goes how far was read, to a sender how far of their own: two
      // series in one log never meet.
      const key = `${event.type} ${event.conversationId} ${event.receiptOf}`
      const before = marks.get(key)
      if (before !== undefined && before.upToSeq! >= event.upToSeq!) {
        yield `${userId} was told ${key} up to ${event.upToSeq} at seq ${event.seq}, ` +
          `after up to ${before.upToSeq} at seq ${before.seq}`
      }
      marks.set(key, event)
    }
  }
}

function * fallsOf ({ messageId, observations }: WatchedMessage): Generator<string> {
  for (let i = 0; i < observations.length; i++) {
    const { status, recipients } = observations[i]!
    const states = Object.values(recipients).map(state => RANKS.indexOf(state))
    if (states.some(rank => rank < 0) || RANKS.indexOf(status) !== Math.min(...states)) {
      yield `${messageId} is ${status} with recipients ${JSON.stringify(recipients)}`
    }
    const before = observations[i - 1]
    for (const [userId, state] of Object.entries(before?.recipients ?? {})) {
      if (RANKS.indexOf(recipients[userId] ?? '') < RANKS.indexOf(state)) {
        yield `${messageId} fell from ${state} to ${recipients[userId]} for ${userId}`
      }
    }
  }
}

/**
 * Every device has everything, and those that acknowledge have said so, hence the marks of their users are at
 * the end; accepted reads hold.
 */
function * receiptsKept (
  { reads, watched, devices }: Ledger, { marks, histories }: Evidence
): Generator<string> {
  const withDevice = new Set(devices.filter(({ door }) => isTracked(door)).map(({ userId }) => userId))
  for (const { conversationId, readerId, messages } of histories) {
    const last = messages.findLast(message => message.senderId !== readerId)
    const mark = marks.get(conversationId)?.get(readerId)
    if (withDevice.has(readerId) && last !== undefined && (mark?.delivered ?? 0) < last.seq) {
      yield `${readerId} has ${last.id} (seq ${last.seq} of ${conversationId}); ` +
        `delivered is ${mark?.delivered}`
    }
  }
  for (const { readerId, conversationId, seq } of reads) {
    const mark = marks.get(conversationId)?.get(readerId)?.read ?? 0
    if (mark < seq) yield `${readerId} read up to ${seq} of ${conversationId}; the mark is ${mark}`
  }
  for (const { messageId, observations } of watched.values()) {
    for (const [userId, status] of Object.entries(observations.at(-1)?.recipients ?? {})) {
      if (status === 'sent' && withDevice.has(userId)) {
        yield `${messageId} is still sent for ${userId}, who has it`
      }
    }
  }
}

function * nobodyElses ({ members, devices }: Ledger, { inboxes }: Evidence): Generator<string> {
  const foreign = (userId: string) =>
    (event: Event): boolean => members.get(event.conversationId ?? '')?.has(userId) !== true
  for (const { userId, deviceId, connections } of devices) {
    for (const event of connections.flat().filter(foreign(userId))) {
      yield `${userId}/${deviceId} received ${describeEvent(event)}`
    }
  }
  for (const [userId, { events }] of inboxes) {
    for (const event of events.filter(foreign(userId))) {
      yield `the inbox of ${userId} has ${describeEvent(event)}`
    }
  }
}

function * sequencesDense (_: Ledger, { inboxes, histories }: Evidence): Generator<string> {
  const epochs = new Set<string>()
  for (const [userId, { lastSeq, events }] of inboxes) {
    const at = events.findIndex((event, i) => event.seq !== i + 1)
    if (at >= 0) yield `the inbox of ${userId} has ${describeEvent(events[at]!)} in place ${at + 1}`
    if (events.length !== lastSeq) {
      yield `the inbox of ${userId} has ${events.length} events and ends at ${lastSeq}`
    }
    for (const { epoch } of events) epochs.add(epoch)
    for (const [messageId, same] of messagesById(events)) {
      if (same.length > 1) {
        yield `the inbox of ${userId} has ${messageId} at ${same.map(({ seq }) => seq).join(', ')}`
      }
    }
  }
  for (const { conversationId, readerId, messages } of histories) {
    const at = messages.findIndex((message, i) => message.seq !== i + 1)
    if (at >= 0) {
      yield `${conversationId}, as ${readerId} reads it, ` +
        `has ${messages[at]!.id} (seq ${messages[at]!.seq}) in place ${at + 1}`
    }
  }
  if (epochs.size > 1) yield `there are several epochs: ${[...epochs].join(', ')}`
}

const byClientId = (events: Event[]): Map<string, Event[]> =>
  grouped(events.filter(carriesMessage), ({ senderId, clientMessageId }) => `${senderId} ${clientMessageId}`)

function count (keys: string[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1)
  return counts
}
