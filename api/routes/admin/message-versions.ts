/** What an edited message said before, for tokens of scope `admin`. */
import { Type } from 'typebox'
import { type Messaging } from '../../../messaging/start.ts'
import { readMessageVersions } from '../../../messaging/messages/versions.ts'
import { type App } from '../../app.ts'
import { callerOf } from '../../authentication.ts'
import { operation } from '../../contract/documentation.ts'
import { MessageVersions, problems, refer, Uuid } from '../../contract/schemas.ts'

/** `app` is the scope of the admin routes, which requires the right token. */
export function messageVersionRoutes (app: App, { database }: Messaging): void {
  app.get('/messages/:id/versions', {
    schema: {
      ...operation('admin', 'What a message said before it was edited'),
      description:
        'A deleted message has no versions any more. Needs a token of scope `admin`; that it was asked for is written to the audit log.',
      params: Type.Object({ id: Uuid }),
      response: {
        200: refer(MessageVersions, 'The earlier versions'),
        ...problems('admin_required', 'message_not_found')
      }
    }
  }, async request => {
    const versions =
      await readMessageVersions(database, callerOf(request).userId, request.params.id.toLowerCase())
    return {
      versions: versions.map(({ replaced_at, ...version }) =>
        ({ ...version, replaced_at: replaced_at.toISOString() }))
    }
  })
}
