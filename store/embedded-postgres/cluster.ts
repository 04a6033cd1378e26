import { randomUUID } from 'node:crypto'
import { open, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Logger } from 'pino'
import { withinMs } from '../../core/deadline.ts'
import { type Spawn } from './as-user.ts'
import { errorWithLog } from './log-file.ts'
import { endOf } from './process-end.ts'

const INITDB_TIMEOUT_MS = 60_000
const KILL_TIMEOUT_MS = 5_000
const UNFINISHED = 'postgres.initdb-'

/**
 * Makes the data directory `postgres` in the folder unless there is one.
 *
 * initdb works under another name, which is changed when it has finished: a
 * directory called `postgres` is a whole one, wherever an earlier start was
 * killed. Its left-overs go at the next start.
 */
export async function ensureCluster ({ folder, initdb, spawn, logFile, log }: {
  folder: string, initdb: string, spawn: Spawn, logFile: string, log: Logger
}): Promise<string> {
  await removeUnfinished(folder, log)
  const cluster = join(folder, 'postgres')
  if (await isCluster(cluster)) return cluster

  const unfinished = join(folder, UNFINISHED + randomUUID())
  const child = spawn(initdb, [
    `--pgdata=${unfinished}`, '--username=postgres', '--no-instructions',
    '--auth-local=trust', '--auth-host=reject',
    // The built-in provider sorts by code point and knows the letters of
    // Unicode, the same everywhere, whatever locales the machine has.
    '--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'
  ], logFile)
  const ended = endOf(child)
  try {
    const end = await withinMs(INITDB_TIMEOUT_MS, ended)
    if (end === undefined) throw new Error(`initdb has not finished after ${INITDB_TIMEOUT_MS} ms`)
    if (end !== 'exit code 0') throw new Error(`initdb failed (${end})`)
    await rename(unfinished, cluster)
    await syncFolder(folder)
  } catch (error) {
    if (child.exitCode === null && child.pid !== undefined) killGroup(child.pid)
    await withinMs(KILL_TIMEOUT_MS, ended)
    await rm(unfinished, { recursive: true, force: true, maxRetries: 10 })
    throw await errorWithLog(
      `cannot make a database in ${folder}: ${(error as Error).message}`, logFile, error
    )
  }
  return cluster
}

async function isCluster (path: string): Promise<boolean> {
  const entries = await readdir(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  if (entries.length === 0) return false
  await stat(join(path, 'PG_VERSION')).catch(error => {
    throw new Error(
      `${path} is in the way: it is neither empty nor a data directory of PostgreSQL`, { cause: error }
    )
  })
  return true
}

async function removeUnfinished (folder: string, log: Logger): Promise<void> {
  for (const name of await readdir(folder)) {
    if (!name.startsWith(UNFINISHED)) continue
    // An initdb that outlived its starter may still be writing here.
    await rm(join(folder, name), { recursive: true, force: true, maxRetries: 10 })
      .catch(error => log.warn({ err: error, name }, 'an unfinished data directory could not be removed'))
  }
}

// initdb runs postgres as its child, hence the group.
function killGroup (pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

// A rename survives a power failure once its folder has been written.
async function syncFolder (folder: string): Promise<void> {
  await using handle = await open(folder)
  await handle.sync()
}
