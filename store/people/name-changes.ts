/**
 * Changes of names that are not told in all conversations yet: a row is the durable mark of what is left.
 *
 * Locks: after the user.
 */
import { type Executor, type Statement } from '../database.ts'

const LEAVE: Statement = {
  name: 'name_changes_leave',
  text: `
    insert into name_changes (user_id, told_to, told_at)
    values ($1, $2, now())
    on conflict (user_id) do update set told_to = excluded.told_to, told_at = excluded.told_at`
}

/** The conversations after this one are still to be told, also of an earlier change of the name. */
export async function leaveToTell (tx: Executor, userId: string, conversationId: string): Promise<void> {
  await tx.rows(LEAVE, [userId, conversationId])
}

const TOLD_TO: Statement =
  { name: 'name_changes_told_to', text: 'select told_to from name_changes where user_id = $1' }

/** The last conversation that was told; undefined: all were. */
export async function toldTo (db: Executor, userId: string): Promise<string | undefined> {
  const [row] = await db.rows<{ told_to: string }>(TOLD_TO, [userId])
  return row?.told_to
}

const END: Statement = { name: 'name_changes_end', text: 'delete from name_changes where user_id = $1' }

/** All were told. */
export async function endTelling (tx: Executor, userId: string): Promise<void> {
  await tx.rows(END, [userId])
}

const LEFT: Statement = {
  name: 'name_changes_left',
  text: "select user_id from name_changes where told_at < now() - $1 * interval '1 ms' limit 100"
}

/** Users with conversations to tell, where nobody has told any for `idleMs`. */
export async function leftToTell (db: Executor, idleMs: number): Promise<string[]> {
  const rows = await db.rows<{ user_id: string }>(LEFT, [idleMs])
  return rows.map(row => row.user_id)
}
