/**
 * What a message may be. Every door checks its shape with one schema; the rules
 * that a schema cannot express (well-formed text, mentions inside the content) follow.
 * Lengths and offsets count Unicode code points.
 */
import { Type, type Static } from 'typebox'
import { hash } from 'node:crypto'
import { invalid } from './errors.ts'
import { requireUserId } from './identity.ts'

export const MAX_CONTENT_LENGTH = 10_000
export const MAX_CLIENT_MESSAGE_ID_LENGTH = 128
export const MESSAGE_TYPES = ['text', 'image', 'video', 'audio'] as const

/** Nothing but white space and characters that are not shown, such as U+200B. */
const BLANK = /^[\p{White_Space}\p{Default_Ignorable_Code_Point}]*$/u

export const Mention = Type.Object({
  user_id: Type.String({ description: 'The mentioned user' }),
  offset: Type.Integer({ minimum: 0, description: 'First code point of the mention in `content`' }),
  length: Type.Integer({ minimum: 1, description: 'Length of the mention in code points' })
}, { additionalProperties: false })

export const MessageDraft = Type.Object({
  conversation_id: Type.String({ format: 'uuid' }),
  content: Type.String({
    description: `1 to ${MAX_CONTENT_LENGTH} code points, not all of them white space`
  }),
  message_type: Type.Enum([...MESSAGE_TYPES]),
  client_message_id: Type.Optional(Type.String({
    minLength: 1,
    maxLength: MAX_CLIENT_MESSAGE_ID_LENGTH,
    description: 'Chosen by the client: sending again with the same one does not send twice'
  })),
  mentions: Type.Optional(Type.Array(Mention, { maxItems: 100 })),
  reply_to_id: Type.Optional(Type.Union([Type.String({ format: 'uuid' }), Type.Null()])),
  attachment_ids: Type.Optional(Type.Array(Type.String({ format: 'uuid' }), {
    maxItems: 10, description: 'Own uploads, shown in this order; none twice'
  }))
}, { additionalProperties: false })

export const MessageEdit = Type.Object({
  content: MessageDraft.properties.content,
  mentions: MessageDraft.properties.mentions
}, { additionalProperties: false })

export type Mention = Static<typeof Mention>
export type MessageDraft = Static<typeof MessageDraft>
export type MessageEdit = Static<typeof MessageEdit>
export type MessageType = (typeof MESSAGE_TYPES)[number]

/** Throws `invalid` when the draft, already of the right shape, breaks a rule. */
export function checkDraft (draft: MessageDraft): void {
  checkEdit(draft)
  if (draft.client_message_id !== undefined) checkText(draft.client_message_id, 'client_message_id')
  const attachmentIds = (draft.attachment_ids ?? []).map(id => id.toLowerCase())
  if (new Set(attachmentIds).size < attachmentIds.length) {
    throw invalid('duplicate_attachment', 'attachment_ids names an attachment twice')
  }
}

/** The rules for what an edit may replace. */
export function checkEdit ({ content, mentions = [] }: MessageEdit): void {
  const length = checkLength(content)
  if (BLANK.test(content)) throw invalid('content_empty', 'content must not be empty, nor all white space')
  for (const mention of mentions) {
    requireUserId(mention.user_id)
    if (mention.offset + mention.length > length) {
      const where = `the mention at ${mention.offset} with length ${mention.length}`
      throw invalid(
        'mention_outside_content', `${where} does not lie inside content of ${length} code points`
      )
    }
  }
}

/** What was written and not sent may be empty. */
export function checkDraftContent (content: string): void {
  checkLength(content)
}

function checkLength (content: string): number {
  const length = checkText(content, 'content')
  if (length > MAX_CONTENT_LENGTH) {
    throw invalid(
      'content_too_long', `content has ${length} code points, at most ${MAX_CONTENT_LENGTH} are allowed`
    )
  }
  return length
}

/** Returns the length in code points; throws `invalid` for text that PostgreSQL or JSON cannot carry. */
export function checkText (text: string, field: string): number {
  if (text.includes('\0')) throw invalid('invalid_text', `${field} must not contain U+0000`)
  if (!text.isWellFormed()) throw invalid('invalid_text', `${field} contains a lone surrogate`)
  return codePoints(text)
}

function codePoints (text: string): number {
  let count = 0
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit < 0xDC00 || unit > 0xDFFF) count++ // a low surrogate ends a pair already counted
  }
  return count
}

/** 132 bits. Each message keeps them. */
const FINGERPRINT_CHARACTERS = 22

/**
 * Equal for equal drafts: tells whether a repeated client_message_id carries the same message, edited or
 * not.
 */
export function draftFingerprint (draft: MessageDraft): string {
  return hash('sha256', JSON.stringify([
    draft.conversation_id, draft.content, draft.message_type, draft.reply_to_id?.toLowerCase() ?? null,
    (draft.mentions ?? []).map(({ user_id, offset, length }) => [user_id, offset, length]),
    (draft.attachment_ids ?? []).map(id => id.toLowerCase())
  ]), 'base64url').slice(0, FINGERPRINT_CHARACTERS)
}

/** Rows of earlier versions hold the whole digest, of which the fingerprint is the beginning. */
export const isFingerprintOf = (stored: string | null, fingerprint: string | null): boolean =>
  stored !== null && fingerprint !== null && stored.startsWith(fingerprint)
