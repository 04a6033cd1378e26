/** Administration: erasing a user. */
import { Type } from 'typebox'
import { type Messaging } from '../../../messaging/start.ts'
import { type Erasure } from '../../../store/erasure/erasures.ts'
import { type App } from '../../app.ts'
import { callerOf } from '../../authentication.ts'
import { adminOperation, problems } from '../../contract/operations.ts'
import { orNull, Time, UserById, UserId } from '../../contract/schemas.ts'

const ErasureState = {
  user_id: UserId,
  status: Type.Enum(['running', 'finished']),
  requested_by: UserId,
  requested_at: Time,
  finished_at: orNull(Time),
  messages_erased: Type.Integer({ minimum: 0 })
}

export function erasureRoutes (app: App, { erasures }: Messaging): void {
  app.post('/users/:id/erase', {
    schema: {
      ...adminOperation(
        'Erase a user',
        'Accepted means decided: an erasure cannot be taken back, and a crash does not stop it. ' +
        'From now on all tokens of the user are refused, and their sessions end. ' +
        'In the background messages become tombstones and all other data of the user is removed; ' +
        '`GET …/erasure` says when it is done. Tokens issued after that make a new user without a past.'
      ),
      params: UserById,
      response: {
        202: Type.Object(ErasureState, { description: 'Under way' }),
        ...problems('admin_required', 'user_not_found')
      }
    }
  }, async (request, reply) => {
    const { id } = request.params
    const erasure = await erasures.request(callerOf(request).userId, id)
    return await reply.code(202).header('location', `/api/v1/admin/users/${encodeURIComponent(id)}/erasure`)
      .send(erasureView(erasure))
  })

  app.get('/users/:id/erasure', {
    schema: {
      ...adminOperation(
        'How far the erasure of a user has got',
        'The latest one. Its end is in the audit log, too (`erase_finished`).'
      ),
      params: UserById,
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
