/** `npm run export -- <folder>`: the database as files, also while Echo runs (docs/operations.md). */
import { resolve } from 'node:path'
import { VARIABLES } from './config-table.ts'
import { readEnvironment } from './environment.ts'
import { createLog } from './log.ts'
import { reasonOf } from './start-failures.ts'
import { reachEmbeddedPostgres } from './store/embedded-postgres/reach.ts'
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
  await using embedded = url ? undefined : await reachEmbeddedPostgres({ dataDir, log: createLog('error') })
  const { tables, rows } = await exportDatabase(embedded?.url ?? url!, resolve(folder))
  return `exported ${rows} rows of ${tables} tables to ${resolve(folder)}`
}
