import { spawn } from 'node:child_process'
import { mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import pg from 'pg'
import pino, { type Logger } from 'pino'
import { readPidFile } from '../../../store/embedded-postgres/pid-file.ts'
import { processes } from '../../../store/embedded-postgres/process-identity.ts'
import { program } from '../../support/programs.ts'

export const isRoot = process.getuid?.() === 0
export const NOBODY = 65534

export interface Scratch extends AsyncDisposable { path: string }

/** A folder, 0700, that takes the servers below it along when it goes. */
export async function scratchFolder (...servers: string[]): Promise<Scratch> {
  const path = await realpath(await mkdtemp(join(tmpdir(), 'echo-test-')))
  return {
    path,
    async [Symbol.asyncDispose] () {
      for (const name of servers) {
        const pid = await postmasterPid(join(path, name))
        if (pid && (await processes.commandOf(pid))?.line.includes(path)) process.kill(pid, 'SIGKILL')
      }
      await rm(path, { recursive: true, force: true, maxRetries: 10 })
    }
  }
}

export async function postmasterPid (dataDir: string): Promise<number | undefined> {
  return (await readPidFile(join(dataDir, 'postgres')).catch(() => undefined))?.pid
}

export async function isRunning (pid: number): Promise<boolean> {
  return await processes.startTimeOf(pid) !== undefined
}

export async function query (url: string, sql: string): Promise<Array<Record<string, unknown>>> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
  try {
    return (await client.query(sql)).rows
  } finally {
    await client.end()
  }
}

/** A logger, and the lines it has written. */
export function memoryLog (): { log: Logger, lines: Array<{ level: number, msg: string }> } {
  const lines: Array<{ level: number, msg: string }> = []
  return { lines, log: pino({}, { write: (line: string) => { lines.push(JSON.parse(line)) } }) }
}

export interface Owner extends AsyncDisposable {
  pid: number
  next (): Promise<{ url?: string, error?: string, interrupted?: true }>
  kill (signal: NodeJS.Signals): Promise<void>
}

/** Another process that starts the server in the folder, in a process group of its own. */
export function startOwner (dataDir: string, prefix: string[] = []): Owner {
  const [command, ...args] = [...prefix, process.execPath, program('owner'), dataDir]
  const child = spawn(command!, args, { detached: true, stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = new Promise(resolve => child.once('exit', resolve))
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  const kill = async (signal: NodeJS.Signals) => {
    child.kill(signal)
    await exited
  }
  return {
    pid: child.pid!,
    next: async () => JSON.parse((await lines.next()).value),
    kill,
    [Symbol.asyncDispose]: async () => await kill('SIGKILL')
  }
}
