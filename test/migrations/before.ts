/** A database as it was before a migration, which can then be brought up to date. */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { drizzle } from 'drizzle-orm/node-postgres'
import { migrate as runMigrations } from 'drizzle-orm/node-postgres/migrator'
import pg from 'pg'
import { migrate } from '../../migrations/migrate.ts'
import { createDatabase, runSql, type TestDatabase } from '../support/database.ts'

export interface OldDatabase extends TestDatabase { migrate (): Promise<void> }

/** With all migrations before the one of this name. */
export async function databaseBefore (name: string): Promise<OldDatabase> {
  const folder = await mkdtemp(join(tmpdir(), 'echo-migrations-'))
  const database = await createDatabase()
  await cp(fileURLToPath(new URL('../../migrations', import.meta.url)), folder, { recursive: true })
  const path = join(folder, 'meta/_journal.json')
  const journal = JSON.parse(await readFile(path, 'utf8')) as { entries: Array<{ tag: string }> }
  const index = journal.entries.findIndex(({ tag }) => tag.endsWith(name))
  if (index === -1) throw new Error(`there is no migration ${name}`)
  await writeFile(path, JSON.stringify({ ...journal, entries: journal.entries.slice(0, index) }))
  await runSql(database.url, 'drop schema public cascade; drop schema drizzle cascade; create schema public')
  const client = new pg.Client({ connectionString: database.url })
  await client.connect()
  try {
    await runMigrations(drizzle({ client }), { migrationsFolder: folder })
  } finally {
    await client.end()
    await rm(folder, { recursive: true, force: true })
  }
  return { ...database, migrate: () => migrate(database.url) }
}
