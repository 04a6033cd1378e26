/** What a message said before its edits. The admin who looks is written to the audit log. */
import { unknownMessage } from '../../core/errors.ts'
import { writeAudit } from '../../store/audit-log.ts'
import { type Database } from '../../store/database.ts'
import { findSender, readVersions, type MessageVersion } from '../../store/messages/changes.ts'

/** Throws `not_found`. */
export async function readMessageVersions (
  database: Database, adminId: string, messageId: string
): Promise<MessageVersion[]> {
  return await database.transact(async tx => {
    const subjectId = await findSender(tx, messageId)
    if (subjectId === undefined) throw unknownMessage()
    await writeAudit(
      tx, { actorId: adminId, action: 'read_versions', subjectId, details: { message_id: messageId } }
    )
    return await readVersions(tx, messageId)
  })
}
