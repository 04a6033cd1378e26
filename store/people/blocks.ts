/** Blocks: which user does not want to hear of which other one. */
import { and, asc, count, eq, gt } from 'drizzle-orm'
import { blocks } from '../../migrations/schema.ts'
import { type Executor } from '../database.ts'

/** A condition: one of the two blocks the other. Index: blocks_pkey. */
export const hiddenFrom = (one: string, other: string): string => `exists (
          select 1 from blocks b
           where (b.blocker_user_id, b.blocked_user_id) in ((${one}, ${other}), (${other}, ${one})))`

export interface Block { blocker_user_id: string, blocked_user_id: string }

export async function countBlocks (db: Executor, blockerId: string): Promise<number> {
  const [row] =
    await db.orm.select({ count: count() }).from(blocks).where(eq(blocks.blocker_user_id, blockerId))
  return row!.count
}

/** False when it was there already. */
export async function insertBlock (tx: Executor, block: Block): Promise<boolean> {
  const inserted =
    await tx.orm.insert(blocks).values(block).onConflictDoNothing().returning({ id: blocks.blocked_user_id })
  return inserted.length > 0
}

export async function deleteBlock (db: Executor, { blocker_user_id, blocked_user_id }: Block): Promise<void> {
  await db.orm.delete(blocks)
    .where(and(eq(blocks.blocker_user_id, blocker_user_id), eq(blocks.blocked_user_id, blocked_user_id)))
}

/** By user id, after `after`. */
export async function listBlocks (
  db: Executor, blockerId: string, limit: number, after: string
): Promise<Array<{ user_id: string, created_at: Date }>> {
  return await db.orm.select({ user_id: blocks.blocked_user_id, created_at: blocks.created_at }).from(blocks)
    .where(and(eq(blocks.blocker_user_id, blockerId), gt(blocks.blocked_user_id, after)))
    .orderBy(asc(blocks.blocked_user_id))
    .limit(limit)
}
