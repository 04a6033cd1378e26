/** Edits: what everybody reads at the end, and how they were told. */
import { describeEvent, type Event } from '../event.ts'
import { type Evidence } from '../evidence.ts'
import { grouped } from '../grouped.ts'
import { type EditedMessage, type Ledger, type Send } from '../ledger.ts'

export function * editsHold (
  { edited, sends, members, devices }: Ledger, { histories, inboxes }: Evidence
): Generator<string> {
  const told = new Map([...inboxes].map(([userId, { events }]) => [userId, eventsByMessage(events)]))
  for (const { readerId, messages } of histories) {
    for (const { id, content } of messages) {
      const record = edited.get(id)
      if (record !== undefined && !possibleEnds(record, sends).has(content)) {
        yield `${readerId} reads "${content}" in ${record.clientMessageId}, ` +
          `which was edited ${record.edits.length} times`
      }
    }
  }
  for (const record of edited.values()) {
    const { conversationId } = sends.get(record.clientMessageId)!
    for (const userId of members.get(conversationId)!) {
      yield * tellingsOf(record, userId, told.get(userId)?.get(record.messageId) ?? [])
    }
  }
  for (const { userId, deviceId, connections } of devices) {
    for (const last of newestByMessage(connections).values()) {
      const record = edited.get(last.messageId!)
      if (record !== undefined && !possibleEnds(record, sends).has(last.content)) {
        yield `${userId}/${deviceId} is left with "${last.content}" by ${describeEvent(last)}`
      }
    }
  }
}

/** The last accepted text, or an undecided one after it. */
function possibleEnds (
  { edits, clientMessageId }: EditedMessage, sends: Map<string, Send>
): Set<string | undefined> {
  const from = edits.findLastIndex(({ accepted }) => accepted)
  const ends = new Set<string | undefined>(edits.slice(Math.max(0, from)).map(({ content }) => content))
  if (from < 0) ends.add(sends.get(clientMessageId)?.content)
  return ends
}

// Each text differs from the one before, so each accepted edit is told once.
function * tellingsOf (
  { clientMessageId, edits }: EditedMessage, userId: string, events: Event[]
): Generator<string> {
  const times = events.filter(({ type }) => type === 'message_edited').length
  const accepted = edits.filter(edit => edit.accepted).length
  if (times < accepted || times > edits.length) {
    yield `${userId} was told ${times} times of ${accepted} accepted edits of ${clientMessageId}`
  }
  if (events[0]?.type === 'message_edited') {
    yield `${userId} was told of an edit of ${clientMessageId} before the message`
  }
}

const isOfContent = ({ type }: Event): boolean =>
  type === 'new_message' || type === 'message_sent' || type === 'message_edited'

const eventsByMessage = (events: Event[]): Map<string, Event[]> =>
  grouped(events.filter(isOfContent), ({ messageId }) => messageId!)

/** Of each message the event with the highest seq that a device received, as it came last. */
function newestByMessage (connections: Event[][]): Map<string, Event> {
  const newest = new Map<string, Event>()
  for (const event of connections.flat().filter(isOfContent)) {
    if (event.seq >= (newest.get(event.messageId!)?.seq ?? 0)) newest.set(event.messageId!, event)
  }
  return newest
}
