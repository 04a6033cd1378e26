/**
 * Code that is older than its database would read and write what it does not understand. Code that is newer
 * asks for what is not there, and fails request by request.
 */
import { readFile } from 'node:fs/promises'

const NEWEST = 'select max(created_at) as newest from drizzle.__drizzle_migrations'
const UNDEFINED_TABLE = '42P01'
const NOT_ALLOWED = '42501'

/** Asks the database. */
type RowsOf = (sql: string) => Promise<Array<{ newest: string | number | null }>>

/** Throws an Error when the newest migration of the database is newer than all of ours. */
export async function refuseNewerSchema (rowsOf: RowsOf): Promise<void> {
  if (await ageOf(rowsOf) > 0) {
    throw new Error(
      'the schema of the database is newer than this version of Echo: ' +
      'start the version that migrated it, or a newer one'
    )
  }
}

/** For a process that does not migrate: throws also when migrations are pending. */
export async function refuseOtherSchema (rowsOf: RowsOf): Promise<void> {
  await refuseNewerSchema(rowsOf)
  if (await ageOf(rowsOf) < 0) {
    throw new Error('the schema of the database is older than this version of Echo: run `npm run migrate`')
  }
}

/**
 * Above 0: the schema is newer than the code; below 0: older. 0 also where nobody can tell, because the role
 * may not read the table of migrations.
 */
async function ageOf (rowsOf: RowsOf): Promise<number> {
  const rows = await rowsOf(NEWEST).catch((error: { code?: string }) => {
    if (error.code === UNDEFINED_TABLE || error.code === NOT_ALLOWED) return undefined
    throw error
  })
  if (rows === undefined) return 0
  const journal = JSON.parse(await readFile(new URL('meta/_journal.json', import.meta.url), 'utf8')) as
    { entries: Array<{ when: number }> }
  return Number(rows[0]?.newest ?? 0) - Math.max(...journal.entries.map(({ when }) => when))
}
