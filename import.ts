/**
 * `npm run import -- <folder>`: an export into a new database, at DATABASE_URL or below DATA_DIR, which it
 * migrates first. `--keep-epoch` when nothing was written after the export: devices go on where they are.
 */
import { resolve } from 'node:path'
import { VARIABLES } from './config-table.ts'
import { readEnvironment } from './environment.ts'
import { createLog } from './log.ts'
import { migrate } from './migrations/migrate.ts'
import { reasonOf } from './start-failures.ts'
import { startEmbeddedPostgres } from './store/embedded-postgres/start.ts'
import { importDatabase, refuseUsers } from './store/transfer/import.ts'
import { readManifest } from './store/transfer/manifest.ts'

const KEEP_EPOCH = '--keep-epoch'
const USAGE = `usage: npm run -s import -- <folder of an export> [${KEEP_EPOCH}]`

try {
  console.log(await run(readEnvironment(), process.argv.slice(2)))
} catch (error) {
  console.error(reasonOf(error))
  process.exitCode = 1
}

async function run ({ DATABASE_URL: url, DATA_DIR }: NodeJS.ProcessEnv, args: string[]): Promise<string> {
  const keepEpoch = args.includes(KEEP_EPOCH)
  const [folder, ...more] = args.filter(argument => argument !== KEEP_EPOCH)
  if (folder === undefined || more.length > 0 || folder.startsWith('-')) throw new Error(USAGE)
  await readManifest(resolve(folder)) // before anything is made for it
  const dataDir = resolve(DATA_DIR || VARIABLES.dataDir.default)
  await using embedded = url ? undefined : await startEmbeddedPostgres({ dataDir, log: createLog('error') })
  const target = embedded?.url ?? url!
  await refuseUsers(target) // a migration would be for good
  await migrate(target)
  const { tables, rows } = await importDatabase(target, resolve(folder), { keepEpoch })
  return `imported ${rows} rows of ${tables} tables; ` +
    (keepEpoch ? 'the inbox logs keep their epoch' : 'the inbox logs have a new epoch')
}
