/** Full-text search. */
import { Type } from 'typebox'
import { MAX_QUERY_LENGTH } from '../../messaging/messages/search.ts'
import { type Messaging } from '../../messaging/start.ts'
import { type App } from '../app.ts'
import { callerOf } from '../authentication.ts'
import { operation } from '../contract/documentation.ts'
import { limit, MessagePage, problems, refer, Uuid } from '../contract/schemas.ts'

const DEFAULT_PAGE = 50
const MAX_PAGE = 200

export function searchRoutes (app: App, { search }: Messaging): void {
  app.get('/messages/search', {
    schema: {
      ...operation('messages', 'Search one\'s conversations'),
      description: 'Newest first; the next page is `before_id` = the last message of this one. All words must occur; `"a phrase"`, `or` and `-without` work as in web searches. ' +
        'Words are compared whole, without regard to case. Deleted messages are not found, edited ones by what they say now.',
      querystring: Type.Object({
        q: Type.String({ description: `1 to ${MAX_QUERY_LENGTH} code points`, examples: ['beach -rain'] }),
        conversation_id: Type.Optional(Uuid),
        limit: limit(DEFAULT_PAGE, MAX_PAGE),
        before_id: Type.Optional(Uuid)
      }),
      response: {
        200: refer(MessagePage, 'What was found'),
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
