/** Attachments: which file was sent with which message. The files themselves are elsewhere. */
import { type Executor, type Statement } from './database.ts'

// Indexes: message_attachments_pkey, then message_attachments_attachment_index. The row locks keep a
// send of the same attachment from coming between the look and the release.
const RELEASE: Statement = {
  name: 'attachments_release',
  text: `
    with taken as (
      delete from message_attachments where message_id = any($1::uuid[]) returning message_id, attachment_id
    ), locked as materialized (
      select a.id from attachments a
       where a.id in (select attachment_id from taken)
       order by a.id
         for no key update
    )
    update attachments a
       set released_at = $2::timestamptz
      from locked
     where a.id = locked.id and a.released_at is null
       and not exists (select 1 from message_attachments m where m.attachment_id = a.id and m.message_id <> all($1::uuid[]))
       and not exists (select 1 from users u where u.avatar = a.id and u.id = a.owner_user_id)`
}

/** Takes their attachments from messages; what nothing else refers to is released, and its file goes soon after. */
export async function releaseAttachments (tx: Executor, messageIds: string[], at: Date): Promise<void> {
  await tx.rows(RELEASE, [messageIds, at])
}
