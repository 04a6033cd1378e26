/** Reads a user's inbox log and renders it: the same events for pumps, long polls and replays. */
import { deliveryOf, type EventBody, encodeBody } from '../../core/events.ts'
import { type ConversationView } from '../../core/views.ts'
import { conversationViews } from '../../store/conversations/views.ts'
import { type Executor } from '../../store/database.ts'
import { eventsAfter, type InboxRow } from '../../store/log/inbox.ts'
import { conversationsWithReceipts } from '../../store/log/receipts.ts'
import { messagesWhenLeft } from '../../store/messages/changes.ts'
import { messageView } from '../../store/messages/messages.ts'
import { inboxCounters } from '../../store/people/users.ts'
import { type PumpEvent } from '../deliver/pump.ts'
import { nameIn, namesFor } from './names.ts'
import { refersTo, renderReplay } from './render.ts'

export interface InboxLog {
  /**
   * Up to `limit` events after `seq`. When some of them are no longer kept, the first one is
   * `resync_required` in the place of the last missing event.
   */
  after (userId: string, seq: number, limit: number): Promise<PumpEvent[]>
}

export function createInboxLog (db: Executor, epoch: () => string): InboxLog {
  return {
    async after (userId, seq, limit) {
      const { rows, firstKept } = await readAfter(db, userId, seq, limit)
      const changed = rows.flatMap(({ message }) =>
        message === null || (message.edited_at === null && message.reactions.length === 0)
          ? []
          : [message.id])
      const delivering = rows.flatMap(({ type, message }) =>
        type === 'new_message' && message !== null ? [message.conversation_id] : [])
      const [conversations, names, former, told] = await Promise.all([
        conversationsFor(db, userId, rows),
        namesFor(db, rows),
        // The events of a stay that has ended show no text and no reaction that came after it.
        messagesWhenLeft(db, userId, [...new Set(changed)]),
        conversationsWithReceipts(db, [...new Set(delivering)])
      ])
      const events = rows.map(row => ({ seq: row.seq, body: render(row) }))
      if (firstKept > seq + 1) {
        events.unshift({ seq: firstKept - 1, body: encodeBody(epoch(), 'resync_required', {}) })
      }
      return events.slice(0, limit)

      function render (row: InboxRow): EventBody {
        const then = row.message === null ? undefined : former.get(row.message.id)
        const message = row.message === null
          ? undefined
          : messageView({ ...row.message, ...then?.text, ...then && { reactions: then.reactions } }, 'sent')
        const conversation = conversations.get(row.conversation_id!) ?? null
        const body = renderReplay(epoch(), row, { message, conversation, ...nameIn(names, row) })
        return row.type === 'new_message' && message !== undefined
          ? { delivers: deliveryOf(message, told.has(message.conversation_id)), ...body }
          : body
      }
    }
  }
}

async function conversationsFor (
  db: Executor, userId: string, rows: InboxRow[]
): Promise<Map<string, ConversationView | undefined>> {
  const carrying = rows.filter(({ type }) => refersTo(type) === 'conversation')
  const ids = [...new Set(carrying.map(row => row.conversation_id!))]
  if (ids.length === 0) return new Map()
  const views = await conversationViews(db, ids.map(conversationId => ({ conversationId, userId })))
  return new Map(ids.map((id, i) => [id, views[i]]))
}

// No event after `seq` means one of three: the log ends there, everything has expired, or the first event was
// committed after this looked. Events up to the counter can be read by then, unless they have expired.
async function readAfter (
  db: Executor, userId: string, seq: number, limit: number
): Promise<{ rows: InboxRow[], firstKept: number }> {
  let rows = await eventsAfter(db, userId, seq, limit)
  if (rows.length > 0) return { rows, firstKept: rows[0]!.seq }
  const [user] = await inboxCounters(db, [userId])
  const end = Math.max(seq, user?.inbox_seq ?? 0)
  if (end > seq) rows = await eventsAfter(db, userId, seq, limit)
  return { rows, firstKept: rows[0]?.seq ?? end + 1 }
}
