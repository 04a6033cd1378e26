/**
 * Drafts: what a user has written in a conversation and not sent, at most one for each.
 *
 * The time of a draft is PostgreSQL's, and rises with each change of it, so that devices can tell which of
 * two notices is the newer. Who leaves waits for a draft of theirs that is being written, and takes it along.
 */
import { and, asc, eq, gt } from 'drizzle-orm'
import { drafts } from '../../migrations/schema.ts'
import { type Executor, type Statement } from '../database.ts'

export interface Draft { content: string, updated_at: Date }

/** Later than `clock_timestamp()` only where a clock went back. */
const LATER = "greatest(clock_timestamp(), d.updated_at + interval '1 millisecond')"

// Index: conversation_participants_pkey. The lock keeps the member in until the draft is written.
const MEMBER = `
      select p.conversation_id, p.user_id
        from conversation_participants p
       where p.conversation_id = $1 and p.user_id = $2 and p.left_seq is null
         for share`

// Indexes: conversation_participants_pkey, drafts_pkey.
const WRITE: Statement = {
  name: 'drafts_write',
  text: `
    with member as (${MEMBER}
    )
    insert into drafts as d (user_id, conversation_id, content, updated_at)
    select user_id, conversation_id, $4, clock_timestamp() from member
    on conflict (user_id, conversation_id) do update
       set content = excluded.content, updated_at = ${LATER}
     where d.updated_at <= coalesce($3::timestamptz, 'infinity')
    returning content, updated_at`
}

// Indexes: conversation_participants_pkey, drafts_pkey.
const DELETE: Statement = {
  name: 'drafts_delete',
  text: `
    with member as (${MEMBER}
    )
    delete from drafts d
     using member
     where d.user_id = member.user_id and d.conversation_id = member.conversation_id
       and d.updated_at <= coalesce($3::timestamptz, 'infinity')
    returning '' as content, ${LATER}::timestamptz(3) as updated_at`
}

/**
 * Puts a draft in the place of the one before; an empty one only takes that away. Undefined when nothing
 * has changed: the user is not in, there was nothing to take away, or the draft before is newer than
 * `writtenAt`.
 */
export async function writeDraft (
  db: Executor, conversationId: string, userId: string, content: string, writtenAt: Date | undefined
): Promise<Draft | undefined> {
  const values = [conversationId, userId, writtenAt ?? null]
  const [draft] = content === ''
    ? await db.rows<Draft>(DELETE, values)
    : await db.rows<Draft>(WRITE, [...values, content])
  return draft
}

export async function findDraft (
  db: Executor, conversationId: string, userId: string
): Promise<Draft | undefined> {
  const [draft] = await db.orm.select({ content: drafts.content, updated_at: drafts.updated_at }).from(drafts)
    .where(and(eq(drafts.user_id, userId), eq(drafts.conversation_id, conversationId)))
  return draft
}

/** By conversation, after `after`. */
export async function listDrafts (
  db: Executor, userId: string, limit: number, after: string
): Promise<Array<Draft & { conversation_id: string }>> {
  return await db.orm
    .select({
      conversation_id: drafts.conversation_id, content: drafts.content, updated_at: drafts.updated_at
    })
    .from(drafts)
    .where(and(eq(drafts.user_id, userId), gt(drafts.conversation_id, after)))
    .orderBy(asc(drafts.conversation_id))
    .limit(limit)
}

export async function removeDraft (tx: Executor, conversationId: string, userId: string): Promise<void> {
  await tx.orm.delete(drafts)
    .where(and(eq(drafts.user_id, userId), eq(drafts.conversation_id, conversationId)))
}
