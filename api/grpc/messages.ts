/** Messages and requests between gRPC's shapes and Echo's own. */
import { Type, type Static, type TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { invalid } from '../../core/errors.ts'
import { type EventBody, type EventType } from '../../core/events.ts'
import { MessageDraft } from '../../core/message-rules.ts'
import { describeErrors } from '../../core/validation.ts'
import { type MessageView } from '../../core/views.ts'
import { pageLimit } from '../contract/paging.ts'
import { Uuid } from '../contract/schemas.ts'
import { type GetMessagesRequest__Output } from './generated/message/GetMessagesRequest.ts'
import { type GetMessagesResponse } from './generated/message/GetMessagesResponse.ts'
import { type Message } from './generated/message/Message.ts'
import { type MessageEvent } from './generated/message/MessageEvent.ts'
import { type SendMessageRequest__Output } from './generated/message/SendMessageRequest.ts'

/** Deleted messages have no content. */
export const messageOf = (view: MessageView): Message => ({
  id: view.id,
  conversation_id: view.conversation_id,
  sender_user_id: view.sender_user_id,
  content: view.content ?? '',
  message_type: view.message_type,
  status: view.status,
  created_at: Date.parse(view.created_at),
  mentions: view.mentions
})

/** A client takes answers of 4 MiB, if it says nothing else. */
const MAX_PAGE_BYTES = 4_000_000
/** At most, of what is encoded: a mention, and a message without its content and mentions. */
const MENTION_BYTES = 80
const HEAD_BYTES = 200

/** As many of the messages as a client takes in one answer, and one at least. */
export function answerOf (
  { messages, has_more }: { messages: MessageView[], has_more: boolean }
): GetMessagesResponse {
  let bytes = 0
  const tooFar = messages.findIndex(({ content, mentions }, i) => {
    bytes += HEAD_BYTES + Buffer.byteLength(content ?? '') + mentions.length * MENTION_BYTES
    return i > 0 && bytes > MAX_PAGE_BYTES
  })
  const fitting = tooFar === -1 ? messages : messages.slice(0, tooFar)
  return { messages: fitting.map(messageOf), has_more: has_more || tooFar !== -1 }
}

const checkDraftShape = checker(MessageDraft)
const checkPage = checker(Type.Object({
  conversation_id: Uuid, limit: pageLimit(), before_id: Type.Optional(Uuid)
}))

/** Throws `invalid` for what is no draft; its rules are checked when it is sent. */
export const draftOf = (
  { conversation_id, content, message_type, mentions, reply_to_id }: SendMessageRequest__Output,
  client_message_id: string | undefined
): MessageDraft =>
  checkDraftShape({ conversation_id, content, message_type, mentions, reply_to_id, client_message_id })

/** Throws `invalid`. Without a limit it is the one of REST. */
export const pageOf = ({ conversation_id, limit, before_id }: GetMessagesRequest__Output) =>
  checkPage({ conversation_id, limit: limit === 0 ? undefined : limit, before_id })

/** What a stream tells of an event; undefined: nothing. Encoded once for all streams that tell it. */
export function eventOf (body: EventBody): MessageEvent | undefined {
  if (!told.has(body)) told.set(body, render(body))
  return told.get(body)
}

const told = new WeakMap<EventBody, MessageEvent | undefined>()
const CARRYING: ReadonlySet<EventType> = new Set(['new_message', 'message_sent', 'message_edited'])

function render ({ type, tail }: EventBody): MessageEvent | undefined {
  if (type === 'resync_required') return { type }
  if (!CARRYING.has(type) && type !== 'message_deleted') return undefined
  const event = JSON.parse(`{${tail.toString().slice(1)}`)
  return {
    type,
    message: type === 'message_deleted'
      ? { id: event.message_id, conversation_id: event.conversation_id }
      : messageOf(event.message)
  }
}

function checker<T extends TSchema> (schema: T): (value: object) => Static<T> {
  const compiled = Compile(schema)
  return value => {
    const given = Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined))
    if (compiled.Check(given)) return given as Static<T>
    throw invalid('invalid_request', describeErrors(compiled.Errors(given), 'request'))
  }
}
