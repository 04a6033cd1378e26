/** The single row about the database itself. */
import { meta } from '../migrations/schema.ts'
import { type Executor } from './database.ts'

/** Changes only when the database was restored to an earlier state. */
export async function readEpoch (db: Executor): Promise<string> {
  const [row] = await db.orm.select({ epoch: meta.epoch }).from(meta)
  if (row === undefined) throw new Error('the meta row is missing: was the database migrated?')
  return row.epoch
}
