/** Conversations: creating, listing, reading and changing one, typing in one. */
import { Type } from 'typebox'
import { type Messaging } from '../../messaging/start.ts'
import { countMembers } from '../../store/conversations/participants.ts'
import { inboxCounters } from '../../store/people/users.ts'
import { type App } from '../app.ts'
import { callerOf } from '../authentication.ts'
import { decodeCursor, encodeCursor } from '../contract/cursor.ts'
import { NoContent, operation, problems } from '../contract/operations.ts'
import { DEFAULT_PAGE, pageLimit } from '../contract/paging.ts'
import { createConversationList } from '../conversation-list.ts'
import { costOf, type Spend } from '../limits/allowances.ts'
import { ById, Conversation, ConversationPage, idOf, orNull, refer, UserId } from '../contract/schemas.ts'

/** A new device begins with all its user's conversations, and most have fewer. */
const MAX_LIST = 1_000

export function conversationRoutes (app: App, messaging: Messaging, spend: Spend): void {
  const { conversations, database, typing } = messaging
  const list = createConversationList(database.autocommit)
  app.post('/conversations', {
    schema: {
      ...operation('conversations', 'Create a conversation'),
      description: 'A direct conversation exists once per pair: when it exists already, ' +
        'the answer is 200 and the existing one.',
      body: Type.Object({
        type: Type.Enum(['direct', 'group']),
        participant_ids: Type.Array(UserId, { description: 'The others; oneself is added' }),
        title: Type.Optional(Type.Union([
          Type.String({ description: 'Groups only, at most 200 code points' }), Type.Null()
        ]))
      }, {
        additionalProperties: false,
        examples: [{ type: 'group', participant_ids: ['bob', 'carol'], title: 'Weekend' }]
      }),
      response: {
        201: refer(Conversation, 'Created'),
        200: refer(Conversation, 'The direct conversation that existed already'),
        ...problems('invalid_participants', 'invalid_title', 'invalid_text', 'too_many_participants')
      }
    }
  }, async (request, reply) => {
    const { userId } = callerOf(request)
    await spend('people', userId, costOf.creating(new Set(request.body.participant_ids).size))
    const { conversation, created } = await conversations.create(userId, request.body)
    return await reply.code(created ? 201 : 200).send(conversation)
  })

  app.get('/conversations', {
    schema: {
      ...operation('conversations', 'List own conversations, last activity first'),
      description: 'Above 100, a large page may end before its limit: `next_cursor` says whether another one ' +
        'follows. A conversation that moves up while its page is read may show its new time in its old place: ' +
        'an event after the snapshot tells of it.',
      querystring: Type.Object({
        limit: pageLimit(DEFAULT_PAGE, MAX_LIST),
        cursor: Type.Optional(Type.String({ description: '`next_cursor` of the page before' }))
      }),
      response: {
        200: refer(ConversationPage, 'A page, with the snapshot of the inbox'), ...problems('invalid_cursor')
      }
    }
  }, async (request, reply) => {
    const { userId } = callerOf(request)
    const { limit = DEFAULT_PAGE, cursor } = request.query
    const after = cursor === undefined ? undefined : decodeCursor(cursor)
    // Before the list: a change in between then comes as an event after this seq.
    const [counters] = await inboxCounters(database.autocommit, [userId])
    const inbox = { epoch: messaging.epoch, last_seq: counters?.inbox_seq ?? 0 }
    const { conversations, next } = await list.page(userId, limit, after)
    const rest = JSON.stringify({ next_cursor: next === undefined ? null : encodeCursor(next), inbox })
    const page = `{"conversations":${conversations},${rest.slice(1)}`
    return await reply.type('application/json').send(page as never)
  })

  app.get('/conversations/:id', {
    schema: {
      ...operation('conversations', 'Read one conversation'),
      params: ById,
      response: {
        200: refer(Conversation, 'As the caller sees it'),
        ...problems('not_a_participant', 'conversation_not_found')
      }
    }
  }, request => conversations.get(callerOf(request).userId, idOf(request)))

  app.patch('/conversations/:id', {
    schema: {
      ...operation('conversations', 'Change the title, or mute'),
      description: 'The title is for admins of a group; null or nothing but spaces clears it. ' +
        '`muted_until` is for oneself: until then only mentions wake the phone. Both change or neither.',
      params: ById,
      body: Type.Object({
        title: Type.Optional(orNull(Type.String({ description: 'At most 200 code points' }))),
        muted_until: Type.Optional(
          orNull(Type.String({ format: 'date-time', description: 'ISO 8601; null ends it' }))
        )
      }, {
        additionalProperties: false,
        minProperties: 1,
        examples: [{ title: 'Weekend' }, { muted_until: '2030-01-01T00:00:00Z' }]
      }),
      response: {
        200: refer(Conversation, 'As the caller sees it'),
        ...problems(
          'invalid_title', 'invalid_text', 'invalid_muted_until', 'admin_required', 'not_a_participant',
          'conversation_not_found', 'direct_conversation'
        )
      }
    }
  }, async request => {
    const { userId } = callerOf(request)
    const id = idOf(request)
    if (request.body.title !== undefined) {
      const members = await countMembers(database.autocommit, id, userId)
      if (members !== undefined) await spend('names', userId, costOf.naming(members))
    }
    return await conversations.update(userId, id, request.body)
  })

  app.post('/conversations/:id/typing', {
    schema: {
      ...operation('conversations', 'Tell the other participants that the caller is typing'),
      description: 'It holds for 10 seconds. A repetition within a second is not passed on. ' +
        'Users who block the caller, or are blocked by the caller, are not told.',
      params: ById,
      body: Type.Object({ is_typing: Type.Boolean() }, { additionalProperties: false }),
      response: {
        204: NoContent, ...problems('not_a_participant', 'sending_not_allowed', 'conversation_not_found')
      }
    }
  }, async (request, reply) => {
    await typing.tell(callerOf(request).userId, idOf(request), request.body.is_typing)
    return await reply.code(204).send(null)
  })
}
