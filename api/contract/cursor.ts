/** The cursor of the conversation list: a position in (last_activity_at, id), opaque to clients. */
import { invalid } from '../../core/errors.ts'
import { type ConversationView } from '../../core/views.ts'
import { type ListCursor } from '../../store/conversations/views.ts'

const PLAIN = /^(\d{1,15}) ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/

/** The place after `last`, the last conversation of a page. */
export const encodeCursor = (last: Pick<ConversationView, 'last_activity_at' | 'id'>): string =>
  Buffer.from(`${Date.parse(last.last_activity_at)} ${last.id}`).toString('base64url')

/** Throws `invalid` for any other text. */
export function decodeCursor (text: string): ListCursor {
  const match = PLAIN.exec(Buffer.from(text, 'base64url').toString())
  if (match === null) {
    throw invalid('invalid_cursor', 'the cursor is not the `next_cursor` of a page of this list')
  }
  return { lastActivityAt: new Date(Number(match[1])), id: match[2]! }
}
