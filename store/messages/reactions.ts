/**
 * Reactions. A transaction that writes holds the lock of the message's conversation, so
 * counts do not run past their limits.
 */
import { type Executor, type Statement } from '../database.ts'

// Index: reactions_pkey; a message has a bounded number of them.
const COUNT: Statement = {
  name: 'reactions_count',
  text: `
    select count(*) as total, count(*) filter (where user_id = $2) as own,
           coalesce(bool_or(user_id = $2 and emoji = $3), false) as there
      from reactions
     where message_id = $1`
}

export interface ReactionCount { total: number, own: number, there: boolean }

export async function countReactions (
  tx: Executor, messageId: string, userId: string, emoji: string
): Promise<ReactionCount> {
  const [count] = await tx.rows<ReactionCount>(COUNT, [messageId, userId, emoji])
  return count!
}

// Later than every other of the message, also when two come in one millisecond:
// they are shown in the order of their events.
const ADD: Statement = {
  name: 'reactions_add',
  text: `
    insert into reactions (message_id, user_id, emoji, hidden, created_at)
    select $1, $2, $3, $4, greatest($5::timestamptz, max(created_at) + interval '1 millisecond')
      from reactions
     where message_id = $1`
}

export async function addReaction (tx: Executor, { messageId, userId, emoji, hidden, at }: {
  messageId: string, userId: string, emoji: string, hidden: boolean, at: Date
}): Promise<void> {
  await tx.rows(ADD, [messageId, userId, emoji, hidden, at])
}

const REMOVE: Statement = {
  name: 'reactions_remove',
  text: 'delete from reactions where message_id = $1 and user_id = $2 and emoji = $3 returning hidden'
}

/** The reaction that was there. */
export async function removeReaction (
  tx: Executor, messageId: string, userId: string, emoji: string
): Promise<{ hidden: boolean } | undefined> {
  const [removed] = await tx.rows<{ hidden: boolean }>(REMOVE, [messageId, userId, emoji])
  return removed
}

const HIDDEN: Statement = {
  name: 'reactions_hidden',
  text: 'select exists (select 1 from reactions where message_id = $1 and hidden) as hidden'
}

/** Do readers see different reactions on this message? */
export async function hasHiddenReactions (db: Executor, messageId: string): Promise<boolean> {
  const [row] = await db.rows<{ hidden: boolean }>(HIDDEN, [messageId])
  return row!.hidden
}
