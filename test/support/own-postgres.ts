/** Echo on a PostgreSQL that a test may kill or freeze. */
import { join } from 'node:path'
import { Opened } from '../../lifecycle.ts'
import { migrate } from '../../migrations/migrate.ts'
import { preparePostgres, type PostgresServer } from '../chaos/postgres.ts'
import { scratchFolder, startEcho, type EchoProcess } from './echo-process.ts'

export interface OnOwnPostgres extends AsyncDisposable { echo: EchoProcess, postgres: PostgresServer }

export async function startOnOwnPostgres (): Promise<OnOwnPostgres> {
  const opened = new Opened()
  try {
    const folder = await opened.add(scratchFolder())
    const postgres = await preparePostgres(join(folder.path, 'postgres'), () => {})
    await postgres.start()
    await opened.add({ async [Symbol.asyncDispose] () { await postgres.stop() } })
    await migrate(postgres.url)
    const echo = await opened.add(startEcho({ dataDir: folder.path, env: { DATABASE_URL: postgres.url } }))
    return { echo, postgres, [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose]() }
  } catch (error) {
    await opened[Symbol.asyncDispose]()
    throw error
  }
}
