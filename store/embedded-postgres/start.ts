import { mkdir, realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { type Logger } from 'pino'
import { spawnerForPostgres } from './as-user.ts'
import { findBinaries } from './binaries.ts'
import { ensureCluster } from './cluster.ts'
import { truncateLog } from './log-file.ts'
import { acquireOwnerLock } from './owner-lock.ts'
import { startPostmaster, type PostmasterOptions } from './postmaster.ts'
import { makeSocketFolder, removeSocketFolder, urlOf } from './socket-folder.ts'
import { startSupervisor } from './supervisor.ts'

export const DATABASE = 'echo'

export interface EmbeddedPostgres extends AsyncDisposable { url: string }

/**
 * Runs a real PostgreSQL whose data lies in `dataDir`, for this process alone.
 * It is reached through a socket that only this user can open, it survives
 * Ctrl-C, and it ends when it is disposed of. What a killed predecessor left
 * behind is cleared away.
 *
 * Throws an Error that says what to do if the folder belongs to another living
 * process or the server does not start; then nothing is left running or locked.
 */
export async function startEmbeddedPostgres ({ dataDir, log, fastShutdownMs }: {
  dataDir: string, log: Logger
} & Pick<PostmasterOptions, 'fastShutdownMs'>): Promise<EmbeddedPostgres> {
  const startedAt = performance.now()
  const { initdb, postgres } = await findBinaries()
  const spawn = await spawnerForPostgres()
  await mkdir(dataDir, { recursive: true, mode: 0o700 })
  const folder = await realpath(dataDir)

  const lock = await acquireOwnerLock(folder)
  let socketFolder: string | undefined
  const release = async () => {
    if (socketFolder) await removeSocketFolder(socketFolder)
    await lock.release()
  }
  try {
    const logFile = join(folder, 'postgres.log')
    await truncateLog(logFile)
    socketFolder = await makeSocketFolder(folder)
    const cluster = await ensureCluster({ folder, initdb, spawn, logFile, log })
    const options: PostmasterOptions =
      { postgres, spawn, cluster, socketFolder, database: DATABASE, logFile, log, fastShutdownMs }
    const first = await startPostmaster(options)
    log.info({ cluster, startMs: Math.round(performance.now() - startedAt) }, 'PostgreSQL runs')

    const server = startSupervisor(first, async signal => await startPostmaster(options, signal), log)
    let stopped: Promise<void> | undefined
    const stop = async () => {
      await server.stop()
      await release()
    }
    return {
      url: urlOf(socketFolder, DATABASE),
      [Symbol.asyncDispose]: async () => await (stopped ??= stop())
    }
  } catch (error) {
    await release()
    throw error
  }
}
