/** Administration: what the push bridges have sent lately. */
import { Type } from 'typebox'
import { type Messaging } from '../../../messaging/start.ts'
import { type App } from '../../app.ts'
import { adminOperation, problems } from '../../contract/operations.ts'
import { DEFAULT_PAGE, pageLimit } from '../../contract/paging.ts'
import { DeviceId, orNull, Platform, Time, UserId, Uuid } from '../../contract/schemas.ts'
import { AskedNodes, askedNodes } from './sessions.ts'

const SentPush = Type.Object({
  node: Type.String(),
  at: Time,
  user_id: UserId,
  device_id: DeviceId,
  platform: Platform,
  kind: Type.Enum(['message', 'read'], {
    description: '`message` wakes the phone, `read` silently takes notifications away'
  }),
  message_id: orNull(Uuid),
  outcome: Type.Enum(['ok', 'retry', 'token_gone', 'token_foreign', 'rejected', 'blocked']),
  reason: orNull(Type.String({ description: 'Why not, where the push service said so', examples: ['quota'] }))
})

export function pushRoutes (app: App, { cluster }: Messaging): void {
  app.get('/pushes', {
    schema: {
      ...adminOperation(
        'The last pushes and what became of them',
        'The newest first. Every push bridge remembers its last 200, until it stops: texts and tokens are left out.'
      ),
      querystring: Type.Object({ limit: pageLimit() }),
      response: {
        200: Type.Object({
          pushes: Type.Array(SentPush), nodes: AskedNodes
        }, { description: 'Of all nodes that answered' }),
        ...problems('admin_required')
      }
    }
  }, async request => {
    const { limit = DEFAULT_PAGE } = request.query
    const asked = await cluster.ask('pushes', { limit })
    const pushes = asked.answers.flatMap(({ node, answer }) => answer.map(push => ({ node, ...push })))
    return {
      pushes: pushes.sort((a, b) => b.at - a.at).slice(0, limit)
        .map(push => ({ ...push, at: new Date(push.at).toISOString() })),
      nodes: askedNodes(asked)
    }
  })
}
