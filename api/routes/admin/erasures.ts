/** Administration: erasing a user. */
import { Type } from 'typebox'
import { type Messaging } from '../../../messaging/start.ts'
import { type Erasure } from '../../../store/erasure/erasures.ts'
import { type App } from '../../app.ts'
import { callerOf } from '../../authentication.ts'
import { operation } from '../../contract/documentation.ts'
import { orNull, problems, Time, UserId } from '../../contract/schemas.ts'

const ErasureState = {
  user_id: UserId,
  status: Type.Enum(['running', 'finished']),
  requested_by: UserId,
  requested_at: Time,
  finished_at: orNull(Time),
  messages_erased: Type.Integer({ minimum: 0 })
}

export function erasureRoutes (app: App, { erasures }: Messaging): void {
  const params = Type.Object({ id: UserId })

  app.post('/users/:id/erase', {
    schema: {
      ...operation('admin', 'Erase a user'),
      description: 'Accepted means decided: it cannot be taken back, and is finished whatever happens. From now on no token of the user counts, and their sessions end. ' +
        'Messages become tombstones, and everything else of them goes, in the background; `GET …/erasure` says when it is done. ' +
        'Tokens issued after that make a new user without a past. Needs a token of scope `admin`.',
      params,
      response: {
        202: Type.Object(ErasureState, { description: 'Under way' }),
        ...problems('admin_required', 'user_not_found')
      }
    }
  }, async (request, reply) => {
    const { id } = request.params
    const erasure = await erasures.request(callerOf(request).userId, id)
    return await reply.code(202).header('location', `/api/v1/admin/users/${id}/erasure`)
      .send(erasureView(erasure))
  })

  app.get('/users/:id/erasure', {
    schema: {
      ...operation('admin', 'How far the erasure of a user has got'),
      description:
        'The latest one. Its end is in the audit log, too (`erase_finished`). Needs a token of scope `admin`.',
      params,
      response: {
        200: Type.Object(ErasureState, { description: 'The erasure' }),
        ...problems('admin_required', 'erasure_not_found')
      }
    }
  }, async request => erasureView(await erasures.find(request.params.id)))
}

const erasureView = ({ user_id, requested_by, requested_at, finished_at, messages }: Erasure) => ({
  user_id,
  status: finished_at === null ? 'running' as const : 'finished' as const,
  requested_by,
  requested_at: requested_at.toISOString(),
  finished_at: finished_at?.toISOString() ?? null,
  messages_erased: messages
})
