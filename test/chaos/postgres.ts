/**
 * A real PostgreSQL that can be killed with all its processes, stopped like a frozen machine, and
 * started on the same data.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import pino from 'pino'
import { spawnerForPostgres } from '../../store/embedded-postgres/as-user.ts'
import { findBinaries } from '../../store/embedded-postgres/binaries.ts'
import { ensureCluster } from '../../store/embedded-postgres/cluster.ts'
import { truncateLog } from '../../store/embedded-postgres/log-file.ts'
import { readPidFile } from '../../store/embedded-postgres/pid-file.ts'
import {
  startPostmaster, type Postmaster, type PostmasterOptions
} from '../../store/embedded-postgres/postmaster.ts'
import { makeSocketFolder, removeSocketFolder, urlOf } from '../../store/embedded-postgres/socket-folder.ts'
import { type Server } from './server.ts'

const DATABASE = 'echo'

export interface PostgresServer extends Server { url: string }

export async function preparePostgres (
  folder: string, onCrash: (name: string, how: string) => void
): Promise<PostgresServer> {
  const log = pino({ level: 'error' })
  const { initdb, postgres } = await findBinaries()
  const spawn = await spawnerForPostgres()
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const logFile = join(folder, 'postgres.log')
  await truncateLog(logFile)
  const socketFolder = await makeSocketFolder(folder)
  const cluster = await ensureCluster({ folder, initdb, spawn, logFile, log })
  const options: PostmasterOptions =
    { postgres, spawn, cluster, socketFolder, database: DATABASE, logFile, log }
  let running: Postmaster | undefined
  let pid: number | undefined

  function signalAll (signal: NodeJS.Signals): void {
    if (pid !== undefined) signalTree(pid, signal)
  }

  // Before the folder goes.
  process.prependListener('exit', () => signalAll('SIGKILL'))

  return {
    name: 'postgres',
    url: urlOf(socketFolder, DATABASE),
    async start () {
      const postmaster = await startPostmaster(options)
      running = postmaster
      pid = (await readPidFile(cluster))?.pid
      postmaster.ended.then(how => { if (running === postmaster) onCrash('postgres', how) }, () => {})
    },
    async kill () {
      const ended = running?.ended
      running = undefined
      signalAll('SIGKILL')
      await ended
      pid = undefined
    },
    async pause () { signalAll('SIGSTOP') },
    async resume () { signalAll('SIGCONT') },
    async stop () {
      const postmaster = running
      running = undefined
      signalAll('SIGCONT')
      await postmaster?.stop()
      pid = undefined
      await removeSocketFolder(socketFolder)
      return 'stopped'
    }
  }
}

// The postmaster first: from then on it has no more children.
export function signalTree (postmaster: number, signal: NodeJS.Signals): void {
  send(postmaster, 'SIGSTOP')
  for (const child of childrenOf(postmaster)) send(child, signal)
  if (signal !== 'SIGSTOP') send(postmaster, signal)
}

function send (pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

function childrenOf (parent: number): number[] {
  return readdirSync('/proc').filter(entry => /^\d+$/.test(entry) && parentOf(entry) === parent).map(Number)
}

// The parent is the second field behind the name, which may hold spaces.
function parentOf (pid: string): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
  } catch {
    return undefined // gone meanwhile
  }
}
