/** Administration, for tokens of scope `admin`. */
import { Type } from 'typebox'
import { AppError } from '../../../core/errors.ts'
import { type Messaging } from '../../../messaging/start.ts'
import { type App } from '../../app.ts'
import { callerOf } from '../../authentication.ts'
import { operation } from '../../contract/documentation.ts'
import { NoContent, problems, UserId } from '../../contract/schemas.ts'
import { auditRoutes } from './audit.ts'
import { erasureRoutes } from './erasures.ts'
import { sessionRoutes } from './sessions.ts'
import { statisticsRoutes } from './statistics.ts'

/** `app` is a scope of its own: what is required here is required of no other route. */
export function adminRoutes (app: App, messaging: Messaging): void {
  app.addHook('onRequest', async request => {
    if (!callerOf(request).admin) {
      throw new AppError('forbidden', 'admin_required', 'a token of scope `admin` is required')
    }
  })
  sessionRoutes(app, messaging)
  erasureRoutes(app, messaging)
  statisticsRoutes(app, messaging)
  auditRoutes(app, messaging)

  app.post('/users/:id/revoke', {
    schema: {
      ...operation('admin', 'Revoke the tokens of a user'),
      description:
        'Tokens without `iat`, or issued up to this second, count no more; sessions that hold one end on every node within 2 seconds. Needs a token of scope `admin`.',
      params: Type.Object({ id: UserId }),
      response: { 204: NoContent, ...problems('admin_required', 'user_not_found') }
    }
  }, async (request, reply) => {
    await messaging.revocations.revoke(callerOf(request).userId, request.params.id)
    return await reply.code(204).send(null)
  })
}
