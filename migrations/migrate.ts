/**
 * Brings a database to the shape of schema.ts. Safe when several processes start at once:
 * one migrates, the others wait.
 */
import { fileURLToPath } from 'node:url'
import { drizzle } from 'drizzle-orm/node-postgres'
import { migrate as runMigrations } from 'drizzle-orm/node-postgres/migrator'
import pg from 'pg'
import { refuseNewerSchema } from './other-schema.ts'

const LOCK_KEY = 0x6563686F // "echo"

export async function migrate (databaseUrl: string, { newEpoch = false } = {}): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl })
  try {
    await client.connect()
    // A session lock: it goes with the connection, so a killed migration blocks no other.
    await client.query('select pg_advisory_lock($1)', [LOCK_KEY])
    await refuseNewerSchema(async sql => (await client.query(sql)).rows)
    await runMigrations(
      drizzle({ client }), { migrationsFolder: fileURLToPath(new URL('.', import.meta.url)) }
    )
    if (newEpoch) await client.query('update meta set epoch = gen_random_uuid(), epoch_since = now()')
  } finally {
    await client.end()
  }
}
