/**
 * Fills large tables as fast as SQL can: their indexes are dropped, and built again at the end, but for those
 * that a foreign key needs.
 */
import pg from 'pg'

const INDEXES = `
  select coalesce('alter table ' || i.indrelid::regclass || ' drop constraint ' || c.conname,
                  'drop index ' || i.indexrelid::regclass) as drop,
         coalesce('alter table ' || i.indrelid::regclass || ' add constraint ' || c.conname || ' ' ||
                  pg_get_constraintdef(c.oid),
                  pg_get_indexdef(i.indexrelid)) as create
    from pg_index i
    left join pg_constraint c on c.conindid = i.indexrelid and c.conrelid = i.indrelid
   where i.indrelid::regclass::text = any($1::text[])
     and not exists (select 1 from pg_constraint f where f.conindid = i.indexrelid and f.contype = 'f')`

// The role is that of a replica: foreign keys are not checked row by row.
const SETTINGS = `
  set synchronous_commit = off;
  set maintenance_work_mem = '512MB';
  set work_mem = '256MB';
  set session_replication_role = replica`

/** Afterwards the tables have their indexes again, and are analyzed unless asked not to. */
export async function bulkLoad (
  url: string, largeTables: string[], fill: (client: pg.Client) => Promise<void>, analyze = true
): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    const { rows: dropped } = await client.query(INDEXES, [largeTables])
    await client.query(SETTINGS)
    for (const { drop } of dropped) await client.query(drop)
    await fill(client)
    for (const { create } of dropped) await client.query(create)
    if (analyze) await client.query('analyze')
  } finally {
    await client.end()
  }
}
