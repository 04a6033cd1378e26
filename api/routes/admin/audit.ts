/** Administration: the audit log. */
import { Type } from 'typebox'
import { type Messaging } from '../../../messaging/start.ts'
import { readAudit } from '../../../store/audit-log.ts'
import { type App } from '../../app.ts'
import { adminOperation, problems } from '../../contract/operations.ts'
import { DEFAULT_PAGE, pageLimit, pageOf } from '../../contract/paging.ts'
import { orNull, Time, UserId, Uuid } from '../../contract/schemas.ts'

const Entry = Type.Object({
  id: Uuid,
  actor_user_id: UserId,
  action: Type.String({ examples: ['revoke_tokens'] }),
  subject_user_id: orNull(UserId),
  details: orNull(Type.Record(Type.String(), Type.Unknown())),
  created_at: Time
})

export function auditRoutes (app: App, { database }: Messaging): void {
  app.get('/audit-log', {
    schema: {
      ...adminOperation(
        'Read the audit log: which admin did what to which user',
        'The newest first; the next page comes with `before_id` = the last entry\'s id.'
      ),
      querystring: Type.Object({
        limit: pageLimit(),
        before_id: Type.Optional(Uuid),
        user_id: Type.Optional({ ...UserId, description: 'Only what was done to this user' })
      }),
      response: {
        200: Type.Object({ entries: Type.Array(Entry), has_more: Type.Boolean() }, { description: 'A page' }),
        ...problems('admin_required')
      }
    }
  }, async request => {
    const { limit = DEFAULT_PAGE, before_id, user_id } = request.query
    const wanted = { limit: limit + 1, beforeId: before_id, subjectId: user_id }
    const { page, more } = pageOf(await readAudit(database.autocommit, wanted), limit)
    return {
      entries: page.map(row => ({ ...row, created_at: row.created_at.toISOString() })),
      has_more: more
    }
  })
}
