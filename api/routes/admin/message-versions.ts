/** What an edited message said before, for tokens of scope `admin`. */
import { type Messaging } from '../../../messaging/start.ts'
import { readMessageVersions } from '../../../messaging/messages/versions.ts'
import { type App } from '../../app.ts'
import { callerOf } from '../../authentication.ts'
import { adminOperation, problems } from '../../contract/operations.ts'
import { ById, idOf, MessageVersions, refer } from '../../contract/schemas.ts'

export function messageVersionRoutes (app: App, { database }: Messaging): void {
  app.get('/messages/:id/versions', {
    schema: {
      ...adminOperation(
        'What a message said before it was edited',
        'A deleted message has no versions any more. Reading them is written to the audit log.'
      ),
      params: ById,
      response: {
        200: refer(MessageVersions, 'The earlier versions'),
        ...problems('admin_required', 'message_not_found')
      }
    }
  }, async request => {
    const versions = await readMessageVersions(database, callerOf(request).userId, idOf(request))
    return {
      versions: versions.map(({ replaced_at, ...version }) =>
        ({ ...version, replaced_at: replaced_at.toISOString() }))
    }
  })
}
