/** The cursor of the conversation list: opaque to clients, a position in (last_activity_at, id) to us. */
import { invalid } from '../core/errors.ts'
import { type ListCursor } from '../store/conversations/views.ts'

const PLAIN = /^(\d{1,15}) ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/

export const encodeCursor = ({ lastActivityAt, id }: ListCursor): string =>
  Buffer.from(`${lastActivityAt.getTime()} ${id}`).toString('base64url')

/** Throws `invalid` for anything that encodeCursor did not make. */
export function decodeCursor (text: string): ListCursor {
  const match = PLAIN.exec(Buffer.from(text, 'base64url').toString())
  if (match === null) {
    throw invalid('invalid_cursor', 'the cursor is not one that a page of this list ended with')
  }
  return { lastActivityAt: new Date(Number(match[1])), id: match[2]! }
}
