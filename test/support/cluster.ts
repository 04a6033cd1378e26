/** Echo as several processes: a database and a Redis of their own, and a process for each role wanted. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { Opened } from '../../lifecycle.ts'
import { freePort } from '../chaos/ports.ts'
import { createDatabase, runSql, SERVER_VARIABLE } from './database.ts'
import { readyEcho, scratchFolder, spawnEcho, type EchoProcess } from './echo-process.ts'
import { program } from './programs.ts'
import { until } from './until.ts'

/** For `TEST_TIMINGS`. Devices of such a process hear of nothing but by a wake. */
export const NO_SWEEP = { sweepMs: 24 * 3_600_000 }

export interface TestRedis extends AsyncDisposable {
  url: string
  start (): Promise<void>
  /** `kill -9`. Nothing is on disk, so what starts afterwards is empty. */
  kill (): Promise<void>
  /** Hangs it, and lets it go on. */
  pause (): void
  resume (): void
  ask (command: string, ...args: string[]): Promise<unknown>
}

export interface TestCluster extends AsyncDisposable {
  redis: TestRedis
  databaseUrl: string
  /** Starts a process and waits until it serves. */
  start (role: string, env?: NodeJS.ProcessEnv): Promise<EchoProcess>
  /** Starts a process on a known HTTP port; `ready` waits until it serves. */
  spawn (
    role: string, env?: NodeJS.ProcessEnv
  ): Promise<{ http: string, output: () => string, ready: () => Promise<EchoProcess> }>
  /** The database refuses connections and drops those it has, until what is returned is called. */
  cutDatabase (): Promise<() => Promise<void>>
  /** The database takes reads only, until what is returned is called. */
  freezeDatabase (): Promise<() => Promise<void>>
}

export async function startTestRedis (dir: string): Promise<TestRedis> {
  const port = await freePort()
  const url = `redis://127.0.0.1:${port}`
  let server: ChildProcess | undefined

  async function ask (command: string, ...args: string[]): Promise<unknown> {
    const client = new Redis(url, { lazyConnect: true, maxRetriesPerRequest: 0, retryStrategy: () => null })
    client.on('error', () => {})
    try {
      await client.connect()
      return await client.call(command, ...args)
    } finally {
      client.disconnect()
    }
  }
  const kill = async (): Promise<void> => { if (server !== undefined) await endProcess(server) }
  async function start (): Promise<void> {
    server = spawn('redis-server', [
      '--bind', '127.0.0.1', '--port', String(port), '--save', '', '--appendonly', 'no', '--dir', dir
    ], { stdio: 'ignore' })
    await until(() => ask('ping').then(() => true, () => false), 'Redis answers')
  }

  await start()
  return {
    url,
    start,
    kill,
    pause () { server!.kill('SIGSTOP') },
    resume () { server!.kill('SIGCONT') },
    ask,
    [Symbol.asyncDispose]: kill
  }
}

/** Its processes are bundles of main.ts, or of another program. */
export async function startCluster (entry = program('main')): Promise<TestCluster> {
  const opened = new Opened()
  const folder = await opened.add(scratchFolder())
  const database = await opened.add(createDatabase())
  const redis = await opened.add(startTestRedis(folder.path))
  let started = 0

  async function launch (role: string, env: NodeJS.ProcessEnv) {
    const options = {
      dataDir: join(folder.path, `${role}-${++started}`),
      roles: [role],
      entry: [entry],
      env: { DATABASE_URL: database.url, REDIS_URL: redis.url, ...env }
    }
    const spawned = spawnEcho(options)
    await opened.add({ async [Symbol.asyncDispose] () { await endProcess(spawned.child) } })
    return { ...spawned, ready: () => readyEcho(spawned, options) }
  }

  const server = process.env[SERVER_VARIABLE]!
  const name = /\/(\w+)(\?|$)/.exec(database.url)![1]!
  async function alter (change: string): Promise<void> {
    await runSql(server, `alter database ${name} ${change}`)
    await runSql(server, `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${name}'`)
  }

  return {
    redis,
    databaseUrl: database.url,
    start: async (role, env = {}) => await (await launch(role, env)).ready(),
    async spawn (role, env = {}) {
      const port = await freePort()
      const { output, ready } = await launch(role, { HTTP_PORT: String(port), ...env })
      return { http: `http://127.0.0.1:${port}`, output, ready }
    },
    async cutDatabase () {
      await alter('with allow_connections false')
      return () => runSql(server, `alter database ${name} with allow_connections true`)
    },
    async freezeDatabase () {
      await alter('set default_transaction_read_only = on')
      // Connections made meanwhile keep what they began with.
      return () => alter('reset default_transaction_read_only')
    },
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose]()
  }
}

// How a process stops is the matter of a test; what is left afterwards need not.
async function endProcess (child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
}
