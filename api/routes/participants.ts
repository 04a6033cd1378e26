/** Participants of a group: adding, changing what they may do, removing, leaving. */
import { Type } from 'typebox'
import { invalid } from '../../core/errors.ts'
import { type Messaging } from '../../messaging/start.ts'
import { type App } from '../app.ts'
import { callerOf } from '../authentication.ts'
import { NoContent, operation, problems } from '../contract/operations.ts'
import { ById, Conversation, idOf, refer, Role, UserId, Uuid } from '../contract/schemas.ts'

const OneParticipant = Type.Object({ id: Uuid, user_id: UserId })

export function participantRoutes (app: App, { conversations }: Messaging): void {
  app.post('/conversations/:id/participants', {
    schema: {
      ...operation('conversations', 'Add participants to a group'),
      description: 'For admins of the group. Either `user_ids` or `user_id`. ' +
        'Present participants stay as they are.',
      params: ById,
      body: Type.Object({
        user_ids: Type.Optional(Type.Array(UserId, { minItems: 1 })),
        user_id: Type.Optional(UserId)
      }, { additionalProperties: false, examples: [{ user_ids: ['bob', 'carol'] }] }),
      response: {
        200: refer(Conversation, 'With its participants'),
        ...problems(
          'admin_required', 'not_a_participant', 'conversation_not_found', 'direct_conversation',
          'too_many_participants'
        )
      }
    }
  }, request =>
    conversations.addParticipants(callerOf(request).userId, idOf(request), userIdsOf(request.body)))

  app.patch('/conversations/:id/participants/:user_id', {
    schema: {
      ...operation('conversations', 'Change the role of a participant, or whether they may send'),
      description: 'For admins of the group.',
      params: OneParticipant,
      body: Type.Object({
        role: Type.Optional(Role),
        can_send_messages: Type.Optional(Type.Boolean())
      }, { additionalProperties: false, minProperties: 1 }),
      response: {
        204: NoContent,
        ...problems(
          'admin_required', 'not_a_participant', 'conversation_not_found', 'participant_not_found',
          'direct_conversation', 'last_admin'
        )
      }
    }
  }, async (request, reply) => {
    await conversations.changeParticipant(
      callerOf(request).userId, idOf(request), request.params.user_id, request.body
    )
    return await reply.code(204).send(null)
  })

  app.delete('/conversations/:id/participants/:user_id', {
    schema: {
      ...operation('conversations', 'Remove a participant, or leave'),
      description: 'Admins of the group may remove any participant, the others only themselves.',
      params: OneParticipant,
      response: {
        204: NoContent,
        ...problems(
          'admin_required', 'not_a_participant', 'conversation_not_found', 'participant_not_found',
          'direct_conversation'
        )
      }
    }
  }, async (request, reply) => {
    await conversations.removeParticipant(callerOf(request).userId, idOf(request), request.params.user_id)
    return await reply.code(204).send(null)
  })
}

function userIdsOf ({ user_ids, user_id }: { user_ids?: string[], user_id?: string }): string[] {
  if ((user_ids === undefined) === (user_id === undefined)) {
    throw invalid('invalid_request', 'body must have either user_ids or user_id')
  }
  return user_ids ?? [user_id!]
}
