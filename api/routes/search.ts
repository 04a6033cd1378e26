/** Full-text search. */
import { Type } from 'typebox'
import { MAX_QUERY_LENGTH } from '../../messaging/messages/search.ts'
import { type Messaging } from '../../messaging/start.ts'
import { type App } from '../app.ts'
import { callerOf } from '../authentication.ts'
import { operation, problems } from '../contract/operations.ts'
import { DEFAULT_PAGE, pageLimit } from '../contract/paging.ts'
import { MessagePage, refer, Uuid } from '../contract/schemas.ts'

export function searchRoutes (app: App, { search }: Messaging): void {
  app.get('/messages/search', {
    schema: {
      ...operation('messages', 'Search own conversations'),
      description: 'Newest first; the next page comes with `before_id` = the last message of this one. ' +
        'All words must occur; `"a phrase"`, `or` and `-without` work as in web searches. ' +
        'A message is found as soon as it is stored, and within 5 s in a conversation that grows by hundreds at once. ' +
        'Words are compared whole, in upper and lower case alike. ' +
        'Deleted messages are not found, edited ones by what they say now.',
      querystring: Type.Object({
        q: Type.String({ description: `1 to ${MAX_QUERY_LENGTH} code points`, examples: ['beach -rain'] }),
        conversation_id: Type.Optional(Uuid),
        limit: pageLimit(),
        before_id: Type.Optional(Uuid)
      }),
      response: {
        200: refer(MessagePage, 'The messages found'),
        ...problems(
          'invalid_query', 'query_too_broad', 'invalid_text', 'not_a_participant', 'conversation_not_found'
        )
      }
    }
  }, async request => {
    const { q, conversation_id, before_id, limit = DEFAULT_PAGE } = request.query
    return await search.search(callerOf(request).userId, {
      query: q, conversationId: conversation_id?.toLowerCase(), beforeId: before_id?.toLowerCase(), limit
    })
  })
}
