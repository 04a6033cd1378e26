/** `npm run export -- <folder>`: the database as files, also while Echo runs (docs/operations.md). */
import { access } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { VARIABLES } from './config-table.ts'
import { readEnvironment } from './environment.ts'
import { createLog } from './log.ts'
import { reasonOf } from './start-failures.ts'
import { FolderInUse } from './store/embedded-postgres/owner-lock.ts'
import { answers, makeSocketFolder, urlOf } from './store/embedded-postgres/socket-folder.ts'
import { DATABASE, startEmbeddedPostgres, type EmbeddedPostgres } from './store/embedded-postgres/start.ts'
import { exportDatabase } from './store/transfer/export.ts'

const USAGE = 'usage: npm run -s export -- <new folder>'

try {
  console.log(await run(readEnvironment(), process.argv.slice(2)))
} catch (error) {
  console.error(reasonOf(error))
  process.exitCode = 1
}

async function run ({ DATABASE_URL: url, DATA_DIR }: NodeJS.ProcessEnv, args: string[]): Promise<string> {
  const [folder, ...more] = args
  if (folder === undefined || more.length > 0 || folder.startsWith('-')) throw new Error(USAGE)
  const dataDir = resolve(DATA_DIR || VARIABLES.dataDir.default)
  await using embedded = url ? undefined : await reachEmbeddedPostgres(dataDir)
  const { tables, rows } = await exportDatabase(embedded?.url ?? url!, resolve(folder))
  return `exported ${rows} rows of ${tables} tables to ${resolve(folder)}`
}

/** The server that runs already, or one of its own. Throws an Error when there is no database. */
async function reachEmbeddedPostgres (dataDir: string): Promise<EmbeddedPostgres> {
  await access(join(dataDir, 'postgres')).catch(() => {
    throw new Error(`there is no database below ${dataDir} (DATA_DIR)`)
  })
  try {
    return await startEmbeddedPostgres({ dataDir, log: createLog('error') })
  } catch (error) {
    if (!(error instanceof FolderInUse)) throw error
    const socketFolder = await makeSocketFolder(error.folder)
    if (!await answers(socketFolder)) throw error
    return { url: urlOf(socketFolder, DATABASE), async [Symbol.asyncDispose] () {} }
  }
}
