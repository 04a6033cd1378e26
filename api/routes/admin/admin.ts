/** Administration, for tokens of scope `admin`. */
import { AppError } from '../../../core/errors.ts'
import { type Messaging } from '../../../messaging/start.ts'
import { type App } from '../../app.ts'
import { callerOf } from '../../authentication.ts'
import { adminOperation, NoContent, problems } from '../../contract/operations.ts'
import { UserById } from '../../contract/schemas.ts'
import { auditRoutes } from './audit.ts'
import { erasureRoutes } from './erasures.ts'
import { messageVersionRoutes } from './message-versions.ts'
import { pushRoutes } from './pushes.ts'
import { sessionRoutes } from './sessions.ts'
import { statisticsRoutes } from './statistics.ts'

/** `app` must be a scope of its own: all its routes require a token of scope `admin`. */
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
  pushRoutes(app, messaging)
  messageVersionRoutes(app, messaging)

  app.post('/users/:id/revoke', {
    schema: {
      ...adminOperation(
        'Revoke the tokens of a user',
        'Tokens without `iat`, or issued up to this second, are refused from now on; ' +
        'sessions that hold one end on every node within 2 seconds.'
      ),
      params: UserById,
      response: { 204: NoContent, ...problems('admin_required', 'user_not_found') }
    }
  }, async (request, reply) => {
    await messaging.revocations.revoke(callerOf(request).userId, request.params.id)
    return await reply.code(204).send(null)
  })
}
