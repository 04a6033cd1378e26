/**
 * Cursors of pages, opaque to clients: a position in (last_activity_at, id) in the list of
 * conversations, a user id among participants.
 */
import { type AppError, invalid } from '../../core/errors.ts'
import { isUserId } from '../../core/identity.ts'
import { type ListPlace } from '../../store/conversations/views.ts'

const PLAIN = /^(\d{1,15}) ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/

/** `last` is the last conversation of a page. */
export const encodeCursor = (last: ListPlace): string =>
  Buffer.from(`${last.lastActivityAt.getTime()} ${last.id}`).toString('base64url')

/** Throws `invalid` for any other text. */
export function decodeCursor (text: string): ListPlace {
  const match = PLAIN.exec(Buffer.from(text, 'base64url').toString())
  if (match === null) throw invalidCursor()
  return { lastActivityAt: new Date(Number(match[1])), id: match[2]! }
}

/** The place after this participant, the last one of a page. */
export const encodeParticipantCursor = (userId: string): string => Buffer.from(userId).toString('base64url')

/** Throws `invalid` for any other text. */
export function decodeParticipantCursor (text: string): string {
  const userId = Buffer.from(text, 'base64url').toString()
  if (!isUserId(userId)) throw invalidCursor()
  return userId
}

const invalidCursor = (): AppError =>
  invalid('invalid_cursor', 'the cursor is not the `next_cursor` of a page of this list')
