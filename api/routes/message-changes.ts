/** Changes of a message: edits, and deletion for everyone. */
import { Type } from 'typebox'
import { MessageEdit } from '../../core/message-rules.ts'
import { type Messaging } from '../../messaging/start.ts'
import { type App } from '../app.ts'
import { callerOf } from '../authentication.ts'
import { NoContent, operation, problems } from '../contract/operations.ts'
import { ById, idOf, Message, refer } from '../contract/schemas.ts'

export function messageChangeRoutes (app: App, { messageChanges }: Messaging): void {
  app.patch('/messages/:id', {
    schema: {
      ...operation('messages', 'Edit a message'),
      description: 'For its sender, while they may send in the conversation, and at most 100 times. ' +
        '`mentions` replaces the earlier ones; without it there are none. ' +
        'The same text again changes nothing. 409 `message_deleted`: there is nothing left to edit.',
      params: ById,
      body: Type.Object(
        { ...MessageEdit.properties }, { additionalProperties: false, examples: [{ content: 'Hello, all!' }] }
      ),
      response: {
        200: refer(Message, 'As it is now'),
        ...problems(
          'content_empty', 'content_too_long', 'invalid_text', 'invalid_user_id', 'mention_outside_content',
          'not_the_sender', 'sending_not_allowed', 'not_a_participant', 'message_not_found',
          'message_deleted', 'too_many_edits'
        )
      }
    }
  }, request => messageChanges.edit(callerOf(request).userId, idOf(request), request.body))

  app.delete('/messages/:id', {
    schema: {
      ...operation('messages', 'Delete a message for everyone'),
      description: 'For its sender and for admins of the group. A tombstone stays: `deleted_at` is set; ' +
        'text, mentions, attachments and reactions are gone. Deleting again changes nothing.',
      params: ById,
      response: { 204: NoContent, ...problems('not_the_sender', 'not_a_participant', 'message_not_found') }
    }
  }, async (request, reply) => {
    await messageChanges.delete(callerOf(request).userId, idOf(request))
    return await reply.code(204).send(null)
  })
}
