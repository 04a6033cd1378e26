/** The single row about the database itself. */
import { meta } from '../migrations/schema.ts'
import { type Executor } from './database.ts'
import { databaseError } from './database-errors.ts'

const UNDEFINED_TABLE = '42P01'

/** Changes only when the database was restored to an earlier state. */
export async function readEpoch (db: Executor): Promise<string> {
  const [row] = await db.orm.select({ epoch: meta.epoch }).from(meta).catch((error: unknown) => {
    if (databaseError(error)?.code !== UNDEFINED_TABLE) throw error
    throw new Error('the database is not migrated: run `npm run migrate`', { cause: error })
  })
  if (row === undefined) throw new Error('the meta row is missing: was the database migrated?')
  return row.epoch
}
