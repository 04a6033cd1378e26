/**
 * `npm run migrate`: migrates the database at DATABASE_URL; `-- --new-epoch` is the last step
 * of a restore.
 */
import { readEnvironment } from './environment.ts'
import { migrate } from './migrations/migrate.ts'

const url = readEnvironment().DATABASE_URL
const unknown = process.argv.slice(2).filter(argument => argument !== '--new-epoch')
if (url === undefined || url === '') {
  console.error('DATABASE_URL must name the database to migrate (the embedded one migrates itself at start)')
  process.exitCode = 1
} else if (unknown.length > 0) {
  console.error(`unknown argument: ${unknown.join(' ')} (known: --new-epoch)`)
  process.exitCode = 1
} else {
  const newEpoch = process.argv.includes('--new-epoch')
  await migrate(url, { newEpoch })
  console.log(newEpoch ? 'migrated; the inbox logs have a new epoch' : 'migrated')
}
