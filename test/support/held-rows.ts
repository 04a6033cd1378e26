/** Rows that somebody else holds: a slow transaction, or a host that froze within one. */
import { type TestBroker } from './broker.ts'

/** Holds the user's row for as long as `work` takes. */
export async function whileHeld (
  broker: TestBroker, userId: string, work: () => Promise<void>
): Promise<void> {
  const holder = await broker.connect()
  try {
    await holder.query('begin')
    await holder.query('select 1 from users where id = $1 for update', [userId])
    await work()
  } finally {
    await holder.query('rollback')
    holder.release()
  }
}

export async function waitsForLock (broker: TestBroker): Promise<boolean> {
  const rows = await broker.sql(
    'select 1 from pg_stat_activity where datname = current_database() and wait_event_type = $1', 'Lock')
  return rows.length > 0
}
