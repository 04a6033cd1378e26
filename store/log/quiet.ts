/** Whether anything was written to the database since the last look. */
import { type Executor, type Statement } from '../database.ts'

// A transaction has an id from its first write on. While none is under way, the newest that has ended says
// which have: as long as it stays the same, nobody has committed anything. Other databases of the server
// count, too.
const QUIET: Statement = {
  name: 'log_quiet',
  text: `
    select case when pg_snapshot_xmin(s) = pg_snapshot_xmax(s) then pg_snapshot_xmax(s)::text end as mark
      from pg_current_snapshot() as s`
}

/**
 * A mark of everything that is committed by now: two that are equal have nothing between them. Undefined
 * while a transaction that writes is under way. After a failover a mark may come again that once stood for
 * something else.
 */
export async function quietMark (db: Executor): Promise<string | undefined> {
  const [row] = await db.rows<{ mark: string | null }>(QUIET, [])
  return row!.mark ?? undefined
}
