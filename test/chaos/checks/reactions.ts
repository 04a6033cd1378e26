/** Reactions: who is shown with which emoji at the end, and how they were told. */
import { type Event } from '../event.ts'
import { type Evidence } from '../evidence.ts'
import { grouped } from '../grouped.ts'
import { type Ledger, type ReactionRecord } from '../ledger.ts'

export function * reactionsHold (
  { reactions, members }: Ledger, { histories, inboxes }: Evidence
): Generator<string> {
  const ofMessage = grouped(reactions.values(), ({ messageId }) => messageId)
  for (const { readerId, messages } of histories) {
    for (const { id, reactions: shown } of messages) {
      const records = ofMessage.get(id) ?? []
      for (const record of records) yield * shownWrongly(record, shown, readerId)
      const known = new Set(records.map(({ userId, emoji }) => `${userId} ${emoji}`))
      for (const reaction of shown.filter(reaction => !known.has(reaction))) {
        yield `${readerId} reads the reaction ${reaction} on ${id}, which nobody made`
      }
    }
  }
  const told = new Map([...inboxes].map(([userId, { events }]) => [userId, eventsByReaction(events)]))
  for (const [key, record] of reactions) {
    for (const userId of members.get(record.conversationId)!) {
      yield * toldWrongly(record, told.get(userId)?.get(key) ?? [], userId)
    }
  }
}

function * shownWrongly (
  { messageId, userId, emoji, changes }: ReactionRecord, shown: string[], readerId: string
): Generator<string> {
  const last = changes.at(-1)
  const isShown = shown.filter(reaction => reaction === `${userId} ${emoji}`).length
  if (isShown > 1) yield `${readerId} reads ${emoji} of ${userId} on ${messageId} ${isShown} times`
  if (last?.accepted === true && (isShown > 0) !== (last.type === 'reaction_added')) {
    yield `after ${last.type} ${readerId} reads ${emoji} of ${userId} on ${messageId} ${isShown} times`
  }
}

// One after the other by one user, the last one perhaps undecided.
function * toldWrongly (
  { messageId, userId: actor, emoji, changes }: ReactionRecord, events: Event[], userId: string
): Generator<string> {
  const accepted = changes.filter(change => change.accepted).length
  const right = events.length >= accepted && events.length <= changes.length &&
    events.every(({ type }, i) => type === changes[i]!.type)
  if (!right) {
    yield `${userId} was told [${events.map(({ type }) => type).join(', ')}] of ${accepted} changes of ` +
      `${emoji} by ${actor} on ${messageId}`
  }
}

function eventsByReaction (events: Event[]): Map<string, Event[]> {
  return grouped(
    events.filter(({ emoji }) => emoji !== undefined),
    ({ messageId, reactedBy, emoji }) => `${messageId} ${reactedBy} ${emoji}`
  )
}
