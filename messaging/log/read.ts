/** Reads a user's inbox log and renders it: the same events for pumps, long polls and history. */
import { encodeBody, type EventBody, type EventType } from '../../core/events.ts'
import { conversationViews } from '../../store/conversations/views.ts'
import { type Executor } from '../../store/database.ts'
import { eventsAfter, type InboxRow } from '../../store/log/inbox.ts'
import { textsWhenLeft } from '../../store/messages/changes.ts'
import { messageView } from '../../store/messages/messages.ts'
import { inboxCounters } from '../../store/people/users.ts'
import { type PumpEvent } from '../deliver/pump.ts'
import { CARRIES_CONVERSATION, fieldsWithNames, namesFor } from './participant-events.ts'
import { referenceFields } from './render.ts'

const CARRIES_MESSAGE: ReadonlySet<EventType> = new Set(['new_message', 'message_sent', 'message_edited'])
const TELLS_REACTION: ReadonlySet<EventType> = new Set(['reaction_added', 'reaction_removed'])

export interface InboxLog {
  /**
   * Up to `limit` events after `seq`. When some of them are no longer kept, the first one is
   * `resync_required` in the place of the last missing event.
   */
  after (userId: string, seq: number, limit: number): Promise<PumpEvent[]>
}

export function createInboxLog (db: Executor, epoch: string): InboxLog {
  return {
    async after (userId, seq, limit) {
      const { rows, firstKept } = await readAfter(db, userId, seq, limit)
      const conversations = await renderConversations(db, userId, rows)
      const names = await namesFor(db, rows)
      // A former member's events show no text that came after they left.
      const former = await textsWhenLeft(
        db, userId, rows.flatMap(({ message }) => message?.edited_at == null ? [] : [message.id])
      )
      const events = rows.map(row => ({ seq: row.seq, body: render(row) }))
      if (firstKept > seq + 1) {
        events.unshift({ seq: firstKept - 1, body: encodeBody(epoch, 'resync_required', {}) })
      }
      return events.slice(0, limit)

      function render (row: InboxRow): EventBody {
        const text = row.message === null ? undefined : former.get(row.message.id)
        const message = row.message === null
          ? undefined
          : messageView(text === undefined ? row.message : { ...row.message, ...text }, 'sent')
        if (message !== undefined && CARRIES_MESSAGE.has(row.type)) {
          return encodeBody(epoch, row.type, { message })
        }
        // Of a deleted message nothing is told any more but that it is.
        if (message?.deleted_at != null && TELLS_REACTION.has(row.type)) {
          return encodeBody(
            epoch, 'message_deleted', referenceFields({ ...row, data: { deleted_at: message.deleted_at } })
          )
        }
        if (CARRIES_CONVERSATION.has(row.type)) {
          return encodeBody(epoch, row.type, {
            conversation: conversations.get(row.conversation_id!) ??
            null
          })
        }
        return encodeBody(epoch, row.type, fieldsWithNames(row, names))
      }
    }
  }
}

async function renderConversations (
  db: Executor, userId: string, rows: InboxRow[]
): Promise<Map<string, unknown>> {
  const ids =
    [...new Set(rows.filter(row => CARRIES_CONVERSATION.has(row.type)).map(row => row.conversation_id!))]
  if (ids.length === 0) return new Map()
  const views = await conversationViews(db, ids.map(conversationId => ({ conversationId, userId })))
  return new Map(ids.map((id, i) => [id, views[i]]))
}

// Nothing there after `seq`: the end of the log, or everything has expired, or the first event was
// committed after it was looked for. What the counter counts can be read, unless it has expired.
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
