/** The audit log: which admin did what to which user; written in the transaction of the deed. */
import { and, desc, eq, lt } from 'drizzle-orm'
import { uuidv7 } from 'uuidv7'
import { audit_log } from '../migrations/schema.ts'
import { type Executor } from './database.ts'

export interface AuditEntry {
  actorId: string
  action: 'revoke_tokens' | 'read_sessions' | 'disconnect' | 'read_versions' | 'erase' | 'erase_finished'
  subjectId: string
  details?: Record<string, unknown>
}

export async function writeAudit (
  tx: Executor, { actorId, action, subjectId, details }: AuditEntry
): Promise<void> {
  await tx.orm.insert(audit_log).values({
    id: uuidv7(), actor_user_id: actorId, action, subject_user_id: subjectId, details: details ?? null
  })
}

export type AuditRow = typeof audit_log.$inferSelect

/** The newest first, before the entry `beforeId`. Indexes: audit_log_pkey, audit_log_subject_index. */
export async function readAudit (
  db: Executor, { limit, beforeId, subjectId }: { limit: number, beforeId?: string, subjectId?: string }
): Promise<AuditRow[]> {
  return await db.orm.select().from(audit_log)
    .where(and(
      beforeId === undefined ? undefined : lt(audit_log.id, beforeId),
      subjectId === undefined ? undefined : eq(audit_log.subject_user_id, subjectId)
    ))
    .orderBy(desc(audit_log.id))
    .limit(limit)
}
