import { rm } from 'node:fs/promises'
import { basename } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Logger } from 'pino'
import { pidFileOf, readPidFile } from './pid-file.ts'
import { processes } from './process-identity.ts'
import { shutDown } from './process-end.ts'
import { answers, removeSocket } from './socket-folder.ts'

const POLL_MS = 20

/**
 * Clears the way for a new postmaster: to be called by the owner of the folder
 * while it runs none itself. A postmaster that outlived its owner is stopped;
 * no process is signalled that is not a postmaster of exactly this directory.
 */
export async function clearOrphan ({ cluster, socketFolder, log }: {
  cluster: string, socketFolder: string, log: Logger
}): Promise<void> {
  const pid = (await readPidFile(cluster))?.pid
  const started = pid === undefined ? undefined : await postmasterStart(pid, cluster)
  if (pid !== undefined && started !== undefined) {
    log.warn({ pid, cluster }, 'stopping the PostgreSQL that an earlier owner of the folder left behind')
    await stop(pid, started)
  }
  // A server whose processes we cannot see, in another container for instance.
  if (await answers(socketFolder)) {
    throw new Error(`another PostgreSQL serves ${cluster}: stop it, or use another DATA_DIR`)
  }
  // PostgreSQL would take any living process with this pid for the postmaster.
  await rm(pidFileOf(cluster), { force: true })
  await removeSocket(socketFolder)
}

// Its start time, if the process is a postmaster of exactly this directory.
async function postmasterStart (pid: number, cluster: string): Promise<string | undefined> {
  const started = await processes.startTimeOf(pid)
  const command = await processes.commandOf(pid)
  if (command === undefined || basename(command.program) !== 'postgres') return undefined
  return command.line.includes(` -D ${cluster} -c `) ? started : undefined
}

async function stop (pid: number, started: string): Promise<void> {
  const ended = async () => await processes.startTimeOf(pid) !== started
  await shutDown(
    async signal => {
      if (await ended()) return
      try {
        process.kill(pid, signal)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
      }
    },
    async ms => {
      for (const deadline = performance.now() + ms; performance.now() < deadline; await sleep(POLL_MS)) {
        if (await ended()) return true
      }
      return false
    })
}
