/**
 * A store in one file, for Node. Each write is one line that is appended and flushed to the
 * disk; a line that a crash has cut off never happened. When most of the file is out of date, it
 * is written anew beside the old one and takes its place at once.
 */
import { mkdir, open, readFile, rename, rm, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { holdFile } from './file-lock.ts'
import { applyTo, emptyTables, TABLES, type Store, type StoredChange, type Tables } from './store.ts'

/** A file below this is never worth writing anew. */
const MIN_COMPACTED_BYTES = 1_048_576
/** And none that is not this much larger than after the last time. */
const GROWTH = 4
/** Rows of one line of a new file. */
const ROWS_A_LINE = 200

/** Rejects when another client holds the file. */
export async function openFileStore (path: string): Promise<Store> {
  await mkdir(dirname(path), { recursive: true })
  const lock = await holdFile(`${path}.lock`)
  const { tables, bytes } = await readLines(path)
  let file = await open(path, 'a')
  let size = bytes
  // What a crash cut off must not become the head of the next line.
  await file.truncate(size)
  let compactAt = Math.max(MIN_COMPACTED_BYTES, size * GROWTH)

  async function append (line: string): Promise<void> {
    try {
      await file.appendFile(line)
      await file.datasync()
      size += Buffer.byteLength(line)
    } catch (error) {
      // A full disk: half of the line must not stay before the next one.
      await file.truncate(size).catch(() => {})
      throw error
    }
  }

  async function compact (): Promise<void> {
    const fresh = `${path}.new`
    await rm(fresh, { force: true })
    const target = await open(fresh, 'a')
    const written = await writeAll(target, tables)
    await rename(fresh, path)
    await syncFolder(dirname(path))
    await file.close()
    file = target
    size = written
    compactAt = Math.max(MIN_COMPACTED_BYTES, size * GROWTH)
  }

  return {
    async read () {
      return Object.fromEntries(TABLES.map(table => [table, new Map(tables[table])])) as Tables
    },
    async write (changes) {
      await append(lineOf(changes))
      applyTo(tables, changes)
      if (size > compactAt) await compact()
    },
    async close () {
      await file.close()
      await lock.release()
    }
  }
}

const lineOf = (changes: StoredChange[]): string => `${JSON.stringify(changes)}\n`

/** What the whole lines say, and how many bytes they are. */
async function readLines (path: string): Promise<{ tables: Tables, bytes: number }> {
  const tables = emptyTables()
  const content = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return Buffer.alloc(0)
    throw error
  })
  let bytes = 0
  for (let end = content.indexOf(10); end !== -1; end = content.indexOf(10, bytes)) {
    let changes: StoredChange[]
    try {
      changes = JSON.parse(content.toString('utf8', bytes, end))
    } catch {
      break
    }
    applyTo(tables, changes)
    bytes = end + 1
  }
  return { tables, bytes }
}

async function writeAll (file: FileHandle, tables: Tables): Promise<number> {
  const rows = TABLES.flatMap(table => [...tables[table]].map(([key, value]) => ({ table, key, value })))
  let bytes = 0
  for (let i = 0; i < rows.length; i += ROWS_A_LINE) {
    const line = lineOf(rows.slice(i, i + ROWS_A_LINE))
    await file.appendFile(line)
    bytes += Buffer.byteLength(line)
  }
  await file.datasync()
  return bytes
}

async function syncFolder (path: string): Promise<void> {
  const folder = await open(path)
  await folder.sync()
  await folder.close()
}
