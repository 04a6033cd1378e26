/**
 * What an export holds, into an empty database of the same schema: one transaction, so a failure leaves it
 * empty.
 *
 * A new epoch begins unless the caller knows that nothing was written after the export: devices may have seen
 * events that it does not hold.
 */
import { createReadStream } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import pg, { type Client } from 'pg'
import { from as copyFrom } from 'pg-copy-streams'
import { fileOf, readManifest, type Manifest } from './manifest.ts'
import { columnsOf, quoted, SAME_TEXT, schemaVersionOf, tablesOf, type Table } from './tables.ts'

/** Where a process that only runs notes how far its jobs are. */
const WITHOUT_USERS = new Set(['meta', 'expiry_progress', 'push_recovery'])

/** Throws an Error when the database is one of Echo, of whatever version, and has users. */
export async function refuseUsers (url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url, application_name: 'echo import' })
  try {
    await client.connect()
    const { rows: [{ there }] } =
      await client.query("select to_regclass('public.users') is not null as there")
    if (there && (await client.query('select from users limit 1')).rows.length > 0) throw notEmpty('users')
  } finally {
    await client.end()
  }
}

/** Throws an Error when the database has users, or another schema than the export. */
export async function importDatabase (
  url: string, folder: string, { keepEpoch }: { keepEpoch: boolean }
): Promise<{ tables: number, rows: number }> {
  const manifest = await readManifest(folder)
  const client = new pg.Client({ connectionString: url, application_name: 'echo import' })
  try {
    await client.connect()
    await client.query(SAME_TEXT)
    await client.query('begin')
    const tables = await tablesOf(client)
    await checkSchema(client, tables, manifest)
    await clear(client, tables)
    let rows = 0
    for (const table of tables) {
      const copy = client.query(copyFrom(`copy ${columnsOf(table)} from stdin`))
      await pipeline(createReadStream(fileOf(folder, table.name)), createGunzip(), copy)
      const expected = manifest.tables.find(({ name }) => name === table.name)!.rows
      if (copy.rowCount !== expected) {
        const file = fileOf(folder, table.name)
        throw new Error(`${file} has ${copy.rowCount} rows, and should have ${expected}`)
      }
      rows += expected
    }
    for (const [name, { last_value: last, is_called: called }] of Object.entries(manifest.sequences)) {
      await client.query('select setval($1::regclass, $2, $3)', [quoted(name), last, called])
    }
    if (!keepEpoch) await client.query('update meta set epoch = gen_random_uuid(), epoch_since = now()')
    await client.query('commit')
    await client.query('analyze')
    return { tables: tables.length, rows }
  } finally {
    await client.end()
  }
}

async function checkSchema (client: Client, tables: Table[], manifest: Manifest): Promise<void> {
  const theirs = manifest.tables.map(({ name, columns }) => ({ name, columns }))
  const version = await schemaVersionOf(client)
  if (version === manifest.schema_version && isDeepStrictEqual(tables, theirs)) return
  const [which, then] = manifest.schema_version < version
    ? ['an older', 'import it with the version that exported it, then upgrade']
    : ['a newer', 'import it with the version that exported it, or a newer one']
  throw new Error(`the export comes from ${which} version of Echo than this one: ${then}`)
}

/** Nobody else writes from here on. */
async function clear (client: Client, tables: Table[]): Promise<void> {
  const names = tables.map(({ name }) => quoted(name)).join(', ')
  await client.query(`lock table ${names} in exclusive mode`)
  for (const { name } of tables.filter(({ name }) => !WITHOUT_USERS.has(name))) {
    const { rows } = await client.query(`select from ${quoted(name)} limit 1`)
    if (rows.length > 0) throw notEmpty(name)
  }
  for (const name of WITHOUT_USERS) await client.query(`delete from ${quoted(name)}`)
}

const notEmpty = (table: string): Error =>
  new Error(`the database is not empty (${table} has rows): import into a new one`)
