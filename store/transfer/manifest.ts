/** What an export holds. The manifest is written last: a folder without one is no export. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

const FORMAT = 1

export interface Manifest {
  format: typeof FORMAT
  exported_at: string
  /** Of the PostgreSQL that it comes from; any other may take it. */
  server_version: string
  schema_version: number
  epoch: string
  tables: Array<{ name: string, columns: string[], rows: number }>
  sequences: Record<string, { last_value: string, is_called: boolean }>
}

export const fileOf = (folder: string, table: string): string => join(folder, `${table}.copy.gz`)

const manifestOf = (folder: string): string => join(folder, 'manifest.json')

export async function writeManifest (folder: string, manifest: Omit<Manifest, 'format'>): Promise<void> {
  const text = `${JSON.stringify({ format: FORMAT, ...manifest }, undefined, 2)}\n`
  await writeFile(manifestOf(folder), text, { flag: 'wx', mode: 0o600, flush: true })
}

export async function readManifest (folder: string): Promise<Manifest> {
  const text = await readFile(manifestOf(folder), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
    throw new Error(`${folder} is no export, or one that did not end: it has no manifest.json`)
  })
  const manifest = JSON.parse(text) as Manifest
  if (manifest.format !== FORMAT) {
    throw new Error(`${folder} has format ${manifest.format}: import it with the version that exported it`)
  }
  return manifest
}
