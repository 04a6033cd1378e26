/** Messages: sending, reading a page, who has one, marking as read. */
import { Type } from 'typebox'
import { invalid } from '../../core/errors.ts'
import { MessageDraft } from '../../core/message-rules.ts'
import { readHistory, readStatus } from '../../messaging/messages/history.ts'
import { type Messaging } from '../../messaging/start.ts'
import { type App } from '../app.ts'
import { callerOf } from '../authentication.ts'
import { NoContent, operation, problems } from '../contract/operations.ts'
import { DEFAULT_PAGE, pageLimit } from '../contract/paging.ts'
import {
  ById, idOf, Message, MessagePage, MessageStatus, refer, Uuid, UUID_EXAMPLE
} from '../contract/schemas.ts'
import { readIdHeader } from '../requests/headers.ts'

const EXAMPLE =
  { conversation_id: UUID_EXAMPLE, content: 'Hello!', message_type: 'text', client_message_id: 'c-1' }

export function messageRoutes (app: App, { sends, readReceipts, database }: Messaging): void {
  app.post('/messages', {
    config: { sends: true },
    schema: {
      ...operation('messages', 'Send a message'),
      description: 'Answered when the message is committed. ' +
        'Sending again with the same `client_message_id` (or `Idempotency-Key`, its synonym) ' +
        'answers 200 with the first message. It begins no conversation: an id that no conversation has ' +
        'is answered like that of one the caller was never in.',
      headers: Type.Object({
        'idempotency-key': Type.Optional(Type.String({
          description: 'Synonym of `client_message_id`', examples: [EXAMPLE.client_message_id]
        })),
        'x-device-id': Type.Optional(Type.String({
          description: 'The device that sends. The answer tells it of the message: ' +
            'while it is connected it gets no `message_sent`',
          examples: ['pixel-8']
        }))
      }),
      body: Type.Object({ ...MessageDraft.properties }, { additionalProperties: false, examples: [EXAMPLE] }),
      response: {
        201: refer(Message, 'Sent: committed'),
        200: refer(Message, 'Sent before; nothing changes'),
        ...problems(
          'content_empty', 'content_too_long', 'invalid_text', 'invalid_user_id', 'mention_outside_content',
          'invalid_reply', 'unknown_attachment', 'duplicate_attachment', 'invalid_header',
          'idempotency_key_mismatch', 'client_message_id_reused', 'conversation_not_found',
          'not_a_participant', 'sending_not_allowed'
        )
      }
    }
  }, async (request, reply) => {
    const draft = withKey(request.body, readIdHeader(request.raw.headers, 'idempotency-key'))
    const { message, repeated } = await sends.send({
      senderId: callerOf(request).userId,
      draft,
      origin: { door: 'rest', requestId: request.id },
      deviceId: readIdHeader(request.raw.headers, 'x-device-id')
    })
    return await reply.code(repeated ? 200 : 201).send(message)
  })

  const history = {
    params: ById,
    querystring: Type.Object({
      limit: pageLimit(),
      before_id: Type.Optional(Uuid),
      after_id: Type.Optional(Uuid)
    }),
    response: {
      200: refer(MessagePage, 'A page'),
      ...problems('invalid_cursor', 'not_a_participant', 'conversation_not_found')
    }
  }
  const readPage = (
    readerId: string, conversationId: string, query: { limit?: number, before_id?: string, after_id?: string }
  ) => readHistory(database.autocommit, readerId, conversationId, { limit: DEFAULT_PAGE, ...query })

  app.get('/conversations/:id/messages', {
    schema: {
      ...operation('messages', 'Read a page of a conversation'),
      description: 'Newest first, going back with `before_id`; oldest first with `after_id`.',
      ...history
    }
  }, request => readPage(callerOf(request).userId, idOf(request), request.query))

  app.get('/messages/:id', {
    schema: {
      ...operation('messages', 'Read a page of a conversation (older path)'),
      description: 'The same as `/conversations/{id}/messages`: `id` names a conversation.',
      deprecated: true,
      ...history
    }
  }, request => readPage(callerOf(request).userId, idOf(request), request.query))

  app.get('/messages/:id/status', {
    schema: {
      ...operation('messages', 'Which recipients have an own message, and who has read it'),
      params: ById,
      response: {
        200: refer(MessageStatus, 'The status for each recipient'),
        ...problems('not_the_sender', 'not_a_participant', 'message_not_found')
      }
    }
  }, async request => {
    const { recipients, ...status } =
      await readStatus(database.autocommit, callerOf(request).userId, idOf(request))
    return {
      ...status,
      recipients: recipients.map(({ delivered_at, read_at, ...recipient }) => ({
        ...recipient,
        delivered_at: delivered_at?.toISOString() ?? null,
        read_at: read_at?.toISOString() ?? null
      }))
    }
  })

  app.post('/messages/:id/read', {
    schema: {
      ...operation('messages', 'Mark a message and all earlier ones as read'),
      params: ById,
      response: { 204: NoContent, ...problems('not_a_participant', 'message_not_found') }
    }
  }, async (request, reply) => {
    await readReceipts.read({ readerId: callerOf(request).userId, messageId: idOf(request) })
    return await reply.code(204).send(null)
  })
}

function withKey (draft: MessageDraft, key: string | undefined): MessageDraft {
  if (key === undefined) return draft
  if (draft.client_message_id !== undefined && draft.client_message_id !== key) {
    throw invalid(
      'idempotency_key_mismatch', 'Idempotency-Key and client_message_id are synonyms and must be equal'
    )
  }
  return { client_message_id: key, ...draft }
}
