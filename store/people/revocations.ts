/** Revocations: from when on a user's tokens count. */
import { eq, sql } from 'drizzle-orm'
import { users } from '../../migrations/schema.ts'
import { type Executor, type Statement } from '../database.ts'

export interface Revocation { userId: string, validAfter: Date }

/** Later than any token is issued. */
const EVERY = sql`'9999-12-31'::timestamptz`

/**
 * Refuses the user's tokens up to now, or also all that are still to be issued;
 * undefined for an unknown user.
 */
export async function revokeTokens (
  db: Executor, userId: string, which: 'issued' | 'every' = 'issued'
): Promise<Revocation | undefined> {
  const after = which === 'every' ? EVERY : sql`date_trunc('milliseconds', clock_timestamp())`
  const [row] = await db.orm.update(users).set({
    tokens_valid_after: sql`greatest(${users.tokens_valid_after}, ${after})`
  }).where(eq(users.id, userId))
    .returning({ validAfter: users.tokens_valid_after })
  return row && { userId, validAfter: row.validAfter! }
}

// Index: users_tokens_valid_after_index. The database's clock decides: it wrote the times.
const RECENT: Statement = {
  name: 'revocations_recent',
  text: `
    select id as "userId", tokens_valid_after as "validAfter"
      from users
     where tokens_valid_after > now() - make_interval(secs => $1)`
}

/** The users whose tokens were revoked within the last `seconds`. */
export async function recentRevocations (db: Executor, seconds: number): Promise<Revocation[]> {
  return await db.rows(RECENT, [seconds])
}
