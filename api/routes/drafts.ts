/** Drafts: what a user has written and not sent, for all their devices. */
import { Type } from 'typebox'
import { MAX_CONTENT_LENGTH } from '../../core/message-rules.ts'
import { type Messaging } from '../../messaging/start.ts'
import { type App } from '../app.ts'
import { callerOf } from '../authentication.ts'
import { operation, problems } from '../contract/operations.ts'
import { DEFAULT_PAGE, pageLimit, pageOf } from '../contract/paging.ts'
import { ById, Draft, DraftPage, idOf, refer, Time, Uuid } from '../contract/schemas.ts'

const BEFORE_ALL = '00000000-0000-0000-0000-000000000000'

export function draftRoutes (app: App, { drafts }: Messaging): void {
  app.put('/conversations/:id/draft', {
    schema: {
      ...operation('conversations', 'Keep a draft'),
      description: 'One for each conversation and user, shared by all devices of the user, who get the notice ' +
        '`draft`. An empty `content` deletes it. The last writer wins, by the clock of the server. A draft that ' +
        'waited on its device says so by `updated_at`: it does not replace one that came after that time. The ' +
        'answer is the draft that is kept.',
      params: ById,
      body: Type.Object({
        content: Type.String({ description: `At most ${MAX_CONTENT_LENGTH} code points` }),
        updated_at: Type.Optional(Type.Unsafe<string>({
          ...Time, description: 'When it was written, if that is not now'
        }))
      }, { additionalProperties: false, examples: [{ content: 'See you at' }] }),
      response: {
        200: refer(Draft, 'What is kept'),
        ...problems('content_too_long', 'invalid_text', 'not_a_participant', 'conversation_not_found')
      }
    }
  }, request => drafts.put(callerOf(request).userId, idOf(request), request.body))

  app.get('/drafts', {
    schema: {
      ...operation('conversations', 'List own drafts, by conversation'),
      querystring: Type.Object({
        limit: pageLimit(),
        cursor: Type.Optional({ ...Uuid, description: '`next_cursor` of the page before' })
      }),
      response: { 200: refer(DraftPage, 'A page'), ...problems() }
    }
  }, async request => {
    const { limit = DEFAULT_PAGE, cursor = BEFORE_ALL } = request.query
    const { page, more } = pageOf(await drafts.list(callerOf(request).userId, limit + 1, cursor), limit)
    return { drafts: page, next_cursor: more ? page.at(-1)!.conversation_id : null }
  })
}
