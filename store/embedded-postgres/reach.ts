/** The embedded database for a command beside Echo: the server that runs already, or one of its own. */
import { access } from 'node:fs/promises'
import { join } from 'node:path'
import { type Logger } from 'pino'
import { FolderInUse } from './owner-lock.ts'
import { answers, makeSocketFolder, urlOf } from './socket-folder.ts'
import { DATABASE, startEmbeddedPostgres, type EmbeddedPostgres } from './start.ts'

/** Throws an Error when there is no database below the folder. */
export async function reachEmbeddedPostgres (
  { dataDir, log }: { dataDir: string, log: Logger }
): Promise<EmbeddedPostgres> {
  await access(join(dataDir, 'postgres')).catch(() => {
    throw new Error(`there is no database below ${dataDir} (DATA_DIR)`)
  })
  try {
    return await startEmbeddedPostgres({ dataDir, log })
  } catch (error) {
    if (!(error instanceof FolderInUse)) throw error
    const socketFolder = await makeSocketFolder(error.folder)
    if (!await answers(socketFolder)) throw error
    return { url: urlOf(socketFolder, DATABASE), async [Symbol.asyncDispose] () {} }
  }
}
