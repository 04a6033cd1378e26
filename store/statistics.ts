/**
 * How much there is, at a cost that does not grow with it: a table of up to
 * EXACT_PAGES pages is counted, a larger one is estimated as the planner does,
 * from its size now and the rows per page that the last ANALYZE found, or that
 * its first pages have when there was none.
 */
import { type Executor, type Statement } from './database.ts'

const EXACT_PAGES = 512
const COUNTED_PUSHES = 10_000

const COUNTED = ['users', 'conversations', 'messages', 'inbox_events'] as const
type Counted = typeof COUNTED[number]

const pages = (table: string): string =>
  `(pg_relation_size('${table}') / current_setting('block_size')::int)`

// Each branch is a subquery of its own, which is run only when it is chosen.
const count = (table: string): string => `
  (select case
     when ${pages(table)} <= ${EXACT_PAGES} then (select count(*) from ${table})
     when c.reltuples >= 0 and c.relpages > 0 then (c.reltuples / c.relpages * ${pages(table)})::bigint
     else (select count(*) from ${table} where ctid < '(${EXACT_PAGES},0)'::tid)
          * ${pages(table)} / ${EXACT_PAGES}
   end from pg_class c where c.oid = '${table}'::regclass) as ${table},
  ${pages(table)} <= ${EXACT_PAGES} as ${table}_exact`

// Index: push_due_due_at_index, from its beginning.
const STATISTICS: Statement = {
  name: 'statistics',
  text: `
    select ${COUNTED.map(count).join(',')},
           (select count(*)
              from (select 1
                      from push_due
                     where due_at <= now()
                     limit ${COUNTED_PUSHES}) as due) as pushes_due,
           (select extract(epoch from now() - min(due_at))::float8
              from push_due
             where due_at <= now()) as oldest_due_seconds,
           pg_database_size(current_database()) as database_bytes`
}

type StatisticsRow = Record<Counted, number> & Record<`${Counted}_exact`, boolean> & {
  pushes_due: number, oldest_due_seconds: number | null, database_bytes: number
}

export interface Count { count: number, exact: boolean }

export interface StoredStatistics {
  users: Count
  conversations: Count
  messages: Count
  inboxEvents: Count
  /** Inexact: at least so many. */
  pushesDue: Count
  oldestDueSeconds: number | null
  databaseBytes: number
}

export async function readStatistics (db: Executor): Promise<StoredStatistics> {
  const [row] = await db.rows<StatisticsRow>(STATISTICS, [])
  const { pushes_due, oldest_due_seconds, database_bytes } = row!
  const counted = (table: Counted): Count => ({ count: row![table], exact: row![`${table}_exact`] })
  return {
    users: counted('users'),
    conversations: counted('conversations'),
    messages: counted('messages'),
    inboxEvents: counted('inbox_events'),
    pushesDue: { count: pushes_due, exact: pushes_due < COUNTED_PUSHES },
    oldestDueSeconds: oldest_due_seconds,
    databaseBytes: database_bytes
  }
}
