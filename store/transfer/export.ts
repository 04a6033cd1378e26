/**
 * A database as files: a gzipped COPY of each table, all from one snapshot, while Echo goes on. They suit any
 * PostgreSQL that Echo runs on, which neither the files of a server nor every pg_dump do.
 *
 * The rows go from the socket to the files; memory does not grow with them.
 */
import { createWriteStream } from 'node:fs'
import { mkdir, readdir } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { constants, createGzip } from 'node:zlib'
import pg from 'pg'
import { to as copyTo, type CopyToStreamQuery } from 'pg-copy-streams'
import { fileOf, writeManifest, type Manifest } from './manifest.ts'
import { columnsOf, quoted, SAME_TEXT, schemaVersionOf, sequencesOf, tablesOf } from './tables.ts'

/** Throws an Error when the folder has something in it. */
export async function exportDatabase (
  url: string, folder: string
): Promise<{ tables: number, rows: number }> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  if ((await readdir(folder)).length > 0) throw new Error(`${folder} is not empty: export to a new folder`)
  const client = new pg.Client({ connectionString: url, application_name: 'echo export' })
  try {
    await client.connect()
    await client.query(SAME_TEXT)
    await client.query('begin isolation level repeatable read read only')
    const tables = await tablesOf(client)
    const copies: CopyToStreamQuery[] = []
    for (const table of tables) {
      const copy = client.query(copyTo(`copy ${columnsOf(table)} to stdout`))
      await pipeline(
        copy,
        createGzip({ level: constants.Z_BEST_SPEED }),
        createWriteStream(fileOf(folder, table.name), { flags: 'wx', mode: 0o600, flush: true })
      )
      copies.push(copy)
    }
    // Sequences have no snapshot. Read last, they are beyond whatever the rows have of them.
    const sequences: Manifest['sequences'] = {}
    for (const name of await sequencesOf(client)) {
      const { rows } = await client.query(`select last_value, is_called from ${quoted(name)}`)
      sequences[name] = rows[0]
    }
    const { rows: [{ server_version: serverVersion }] } = await client.query('show server_version')
    const { rows: [{ epoch }] } = await client.query('select epoch from meta')
    await writeManifest(folder, {
      exported_at: new Date().toISOString(),
      server_version: serverVersion,
      schema_version: await schemaVersionOf(client),
      epoch,
      tables: tables.map((table, i) => ({ ...table, rows: copies[i]!.rowCount })),
      sequences
    })
    return { tables: tables.length, rows: copies.reduce((total, { rowCount }) => total + rowCount, 0) }
  } finally {
    await client.end()
  }
}
