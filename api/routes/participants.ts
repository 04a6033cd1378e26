/** Participants of a conversation: paging through them, adding, their rights, removing, leaving. */
import { Type } from 'typebox'
import { invalid } from '../../core/errors.ts'
import { type Messaging } from '../../messaging/start.ts'
import { countMembers } from '../../store/conversations/participants.ts'
import { type App } from '../app.ts'
import { callerOf } from '../authentication.ts'
import { decodeParticipantCursor, encodeParticipantCursor } from '../contract/cursor.ts'
import { NoContent, operation, problems } from '../contract/operations.ts'
import { DEFAULT_PAGE, pageLimit, pageOf } from '../contract/paging.ts'
import { costOf, type Spend } from '../limits/allowances.ts'
import {
  ById, Conversation, idOf, ParticipantPage, refer, Role, UserId, Uuid
} from '../contract/schemas.ts'

const OneParticipant = Type.Object({ id: Uuid, user_id: UserId })

export function participantRoutes (
  app: App, { conversations, database }: Messaging, spend: Spend
): void {
  app.get('/conversations/:id/participants', {
    schema: {
      ...operation('conversations', 'Page through the participants'),
      description:
        'By user id. No page repeats a participant; one who comes or goes meanwhile may be missing or still there.',
      params: ById,
      querystring: Type.Object({
        limit: pageLimit(),
        cursor: Type.Optional(Type.String({ description: '`next_cursor` of the page before' }))
      }),
      response: {
        200: refer(ParticipantPage, 'A page'),
        ...problems('invalid_cursor', 'not_a_participant', 'conversation_not_found')
      }
    }
  }, async request => {
    const { limit = DEFAULT_PAGE, cursor } = request.query
    const after = cursor === undefined ? undefined : decodeParticipantCursor(cursor)
    const found = await conversations.listParticipants(
      callerOf(request).userId, idOf(request), { limit: limit + 1, after }
    )
    const { page, more } = pageOf(found, limit)
    return {
      participants: page,
      next_cursor: more ? encodeParticipantCursor(page.at(-1)!.user_id) : null
    }
  })

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
  }, async request => {
    const { userId } = callerOf(request)
    const id = idOf(request)
    const added = userIdsOf(request.body)
    const members = await countMembers(database.autocommit, id, userId)
    if (members !== undefined) await spend('people', userId, costOf.adding(new Set(added).size, members))
    return await conversations.addParticipants(userId, id, added)
  })

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
