/** The audit log: who did what to whom; written in the transaction of the deed. */
import { uuidv7 } from 'uuidv7'
import { audit_log } from '../migrations/schema.ts'
import { type Executor } from './database.ts'

export interface AuditEntry { actorId: string, action: 'revoke_tokens', subjectId: string }

export async function writeAudit (tx: Executor, { actorId, action, subjectId }: AuditEntry): Promise<void> {
  await tx.orm.insert(audit_log).values({ id: uuidv7(), actor_user_id: actorId, action, subject_user_id: subjectId })
}
