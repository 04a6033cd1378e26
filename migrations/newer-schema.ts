/** Code that is older than its database would read and write what it does not understand. */
import { readFile } from 'node:fs/promises'

const NEWEST = 'select max(created_at) as newest from drizzle.__drizzle_migrations'
const UNDEFINED_TABLE = '42P01'
const NOT_ALLOWED = '42501'

/**
 * `rowsOf` asks the database. Throws an Error when its newest migration is newer than all of ours. A role
 * that may not read the table of migrations is not stopped.
 */
export async function refuseNewerSchema (
  rowsOf: (sql: string) => Promise<Array<{ newest: string | number | null }>>
): Promise<void> {
  const [row] = await rowsOf(NEWEST).catch((error: { code?: string }) => {
    if (error.code === UNDEFINED_TABLE || error.code === NOT_ALLOWED) return []
    throw error
  })
  const journal = JSON.parse(await readFile(new URL('meta/_journal.json', import.meta.url), 'utf8')) as
    { entries: Array<{ when: number }> }
  if (Number(row?.newest ?? 0) > Math.max(...journal.entries.map(({ when }) => when))) {
    throw new Error(
      'the schema of the database is newer than this version of Echo: ' +
      'start the version that migrated it, or a newer one'
    )
  }
}
