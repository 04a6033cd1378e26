/** A PostgreSQL cluster as Debian's package makes one: initdb and every setting at its default. */
import { type ChildProcess, spawn, type SpawnOptions } from 'node:child_process'
import { once } from 'node:events'
import { openSync } from 'node:fs'
import { chmod, chown, mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'

export const DEBIAN_BINARIES = '/usr/lib/postgresql/15/bin'
const DATABASE = 'echo'
const START_TIMEOUT_MS = 30_000

export interface FreshCluster extends AsyncDisposable { url: string }

export interface ClusterOptions {
  /** The folder with initdb and postgres. */
  binaries: string
  /** Like `auto_explain.log_min_duration=100`: what the measurement itself wants changed. */
  settings?: string[]
}

/** Disposing of it leaves nothing behind. Root runs it as the user postgres. */
export async function startFreshCluster (
  { binaries, settings = [] }: ClusterOptions
): Promise<FreshCluster> {
  const folder = await mkdtemp(join(tmpdir(), 'echo-bench-pg-'))
  const run = await asPostgres(folder)
  const data = join(folder, 'data')
  try {
    await finished(run(join(binaries, 'initdb'), [
      `--pgdata=${data}`, '--username=postgres', '--auth=trust', '--encoding=UTF8', '--locale=C.UTF-8'
    ]), 'initdb')
    const port = await freePort()
    const postmaster = run(join(binaries, 'postgres'), [
      '-D', data, '-p', String(port), '-c', 'listen_addresses=127.0.0.1', '-k', folder,
      ...settings.flatMap(it => ['-c', it])
    ])
    const admin = `postgres://postgres@127.0.0.1:${port}/postgres?sslmode=disable`
    await createDatabase(admin, postmaster)
    return {
      url: `postgres://postgres@127.0.0.1:${port}/${DATABASE}?sslmode=disable`,
      async [Symbol.asyncDispose] () {
        postmaster.kill('SIGINT') // a fast shutdown
        if (postmaster.exitCode === null && postmaster.signalCode === null) await once(postmaster, 'exit')
        await rm(folder, { recursive: true, force: true })
      }
    }
  } catch (error) {
    await rm(folder, { recursive: true, force: true })
    throw error
  }
}

type Run = (program: string, args: string[]) => ChildProcess

/** PostgreSQL refuses to run as root. */
async function asPostgres (folder: string): Promise<Run> {
  const log = openSync(join(folder, 'log'), 'a') // closed with this process
  const options: SpawnOptions = {
    // Its own process group: Ctrl-C ends the servers first, and they want to say goodbye to it.
    detached: true,
    cwd: folder,
    env: { PATH: process.env.PATH, LANG: 'C.UTF-8' },
    stdio: ['ignore', log, log]
  }
  if (process.getuid?.() !== 0) return (program, args) => spawn(program, args, options)
  const entry = (await readFile('/etc/passwd', 'utf8')).split('\n').find(line => line.startsWith('postgres:'))
  if (entry === undefined) {
    throw new Error('root needs the user postgres of Debian\'s package to run PostgreSQL')
  }
  const [uid, gid] = entry.split(':').slice(2, 4).map(Number) as [number, number]
  await chown(folder, uid, gid)
  await chmod(folder, 0o755)
  return (program, args) => spawn(program, args, { ...options, uid, gid })
}

async function finished (child: ChildProcess, name: string): Promise<void> {
  const [code] = await once(child, 'exit') as [number | null]
  if (code !== 0) throw new Error(`${name} failed`)
}

async function createDatabase (admin: string, postmaster: ChildProcess): Promise<void> {
  const deadline = performance.now() + START_TIMEOUT_MS
  for (;;) {
    const client = new pg.Client({ connectionString: admin })
    try {
      await client.connect()
      await client.query(`create database ${DATABASE}`)
      return
    } catch (error) {
      if (postmaster.exitCode !== null || performance.now() > deadline) {
        postmaster.kill('SIGQUIT')
        throw new Error('PostgreSQL did not start', { cause: error })
      }
      await new Promise(resolve => setTimeout(resolve, 50))
    } finally {
      await client.end().catch(() => {})
    }
  }
}

async function freePort (): Promise<number> {
  const server = createServer()
  await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
  const { port } = server.address() as AddressInfo
  await new Promise(resolve => server.close(resolve))
  return port
}
