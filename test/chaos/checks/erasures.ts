/** Erased users: the end of the erasure, and that nothing they said is left. */
import { describeEvent } from '../event.ts'
import { type Evidence } from '../evidence.ts'
import { type Ledger } from '../ledger.ts'

export function * nothingOfTheErased (
  { erasures }: Ledger, { histories, inboxes, unerased }: Evidence
): Generator<string> {
  for (const userId of unerased) yield `the erasure of ${userId} is not finished`
  const accepted = erasures.filter(erasure => erasure.accepted)
  const erased = new Set(accepted.map(({ userId }) => userId))
  const contents = new Set(accepted.flatMap(erasure => erasure.contents))
  const tombstones = new Map<string, Set<string>>()
  for (const { conversationId, readerId, messages } of histories) {
    const deleted = new Set(messages.filter(message => message.deleted).map(({ id }) => id))
    tombstones.set(`${conversationId} ${readerId}`, deleted)
    for (const { id, senderId, content, clientMessageId } of messages) {
      const said = erased.has(senderId) && (content !== undefined || clientMessageId !== undefined)
      if (said || contents.has(content ?? '')) {
        yield `${readerId} still reads ${id} of ${senderId}: "${content}" (${clientMessageId})`
      }
    }
  }
  for (const { conversationId, partnerId, messageIds } of accepted) {
    for (const id of messageIds) {
      if (tombstones.get(`${conversationId} ${partnerId}`)?.has(id) !== true) {
        yield `${partnerId} reads no tombstone of ${id}`
      }
    }
  }
  for (const [userId, { events }] of inboxes) {
    for (const event of events) {
      const said = erased.has(event.senderId ?? '') &&
        (event.content !== undefined || event.clientMessageId !== undefined)
      if (said || contents.has(event.content ?? '')) {
        yield `the inbox of ${userId} still has ${describeEvent(event)}: "${event.content}"`
      }
    }
  }
}
