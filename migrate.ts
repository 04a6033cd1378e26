/**
 * `npm run migrate`: migrates the database at DATABASE_URL; `-- --new-epoch` is the last step
 * of a restore.
 */
import { VARIABLES } from './config-table.ts'
import { readEnvironment } from './environment.ts'
import { migrate } from './migrations/migrate.ts'
import { reasonOf } from './start-failures.ts'

try {
  console.log(await run(readEnvironment().DATABASE_URL, process.argv.slice(2)))
} catch (error) {
  console.error(reasonOf(error))
  process.exitCode = 1
}

async function run (url: string | undefined, args: string[]): Promise<string> {
  if (url === undefined || url === '') {
    throw new Error(
      'DATABASE_URL must name the database to migrate (the embedded one migrates itself at start)'
    )
  }
  VARIABLES.databaseUrl.parse(url, problem => { throw new Error(`DATABASE_URL ${problem}`) })
  const unknown = args.filter(argument => argument !== '--new-epoch')
  if (unknown.length > 0) throw new Error(`unknown argument: ${unknown.join(' ')} (known: --new-epoch)`)
  const newEpoch = args.includes('--new-epoch')
  await migrate(url, { newEpoch })
  return newEpoch ? 'migrated; the inbox logs have a new epoch' : 'migrated'
}
