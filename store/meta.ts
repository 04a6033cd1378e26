/** The single row about the database itself. */
import { sql } from 'drizzle-orm'
import { meta } from '../migrations/schema.ts'
import { type Executor } from './database.ts'
import { databaseError } from './database-errors.ts'

const UNDEFINED_TABLE = '42P01'

export interface Epoch {
  id: string
  /** When it began; undefined: it is the first one. */
  since: Date | undefined
}

/** Changes only when the database was restored to an earlier state, or lost its newest commits. */
export async function readEpoch (db: Executor): Promise<Epoch> {
  const [row] = await db.orm.select({ epoch: meta.epoch, since: meta.epoch_since }).from(meta)
    .catch((error: unknown) => {
      if (databaseError(error)?.code !== UNDEFINED_TABLE) throw error
      throw new Error('the database is not migrated: run `npm run migrate`', { cause: error })
    })
  if (row === undefined) throw new Error('the meta row is missing: was the database migrated?')
  return { id: row.epoch, since: row.since ?? undefined }
}

/** Begins a new epoch in place of `epoch`. Of several processes that see the same loss one begins it. */
export async function beginEpoch (db: Executor, epoch: string): Promise<void> {
  await db.orm.update(meta).set({ epoch: sql`gen_random_uuid()`, epoch_since: sql`now()` })
    .where(sql`${meta.epoch} = ${epoch}`)
}
