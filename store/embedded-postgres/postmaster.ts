import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { type Logger } from 'pino'
import { withinMs } from '../../core/deadline.ts'
import { type Spawn } from './as-user.ts'
import { errorWithLog } from './log-file.ts'
import { clearOrphan } from './orphan.ts'
import { readPidFile } from './pid-file.ts'
import { endOf, shutDown } from './process-end.ts'
import { SOCKET_PORT, urlOf } from './socket-folder.ts'

/** One running server. `ended` settles with what ended it. */
export interface Postmaster { ended: Promise<string>, stop (): Promise<void> }

export interface PostmasterOptions {
  postgres: string
  spawn: Spawn
  cluster: string
  socketFolder: string
  database: string
  logFile: string
  log: Logger
  /** How long a stop lets backends finish before it uses force; 10 s by default. */
  fastShutdownMs?: number
}

// Recovery after a crash replays up to max_wal_size, 1 GB.
const START_TIMEOUT_MS = 60_000
const READY_POLL_MS = 10
const QUERY_TIMEOUT_MS = 30_000
// What a dead server left running: one just being started, or a backend in the
// middle of a statement, which holds the shared memory until it notices.
const LEFTOVER_TIMEOUT_MS = 10_000
const LEFTOVER_RETRY_MS = 100
const LEFTOVER_SIGNS = /lock file ".*" already exists|pre-existing shared memory block/

const SETTINGS = {
  listen_addresses: '',
  port: String(SOCKET_PORT),
  max_connections: '100',
  fsync: 'on',
  synchronous_commit: 'on',
  timezone: 'UTC',
  log_timezone: 'UTC',
  logging_collector: 'off',
  log_checkpoints: 'off',
  // Errors of a statement go to the client, who logs them: here they would put
  // message contents into the file, and let anyone who provokes them fill it.
  log_min_messages: 'log',
  log_min_error_statement: 'panic'
}

/**
 * Resolves when the server accepts connections and the database exists.
 * A failed start leaves no process behind.
 */
export async function startPostmaster (
  options: PostmasterOptions, signal?: AbortSignal
): Promise<Postmaster> {
  const deadline = performance.now() + LEFTOVER_TIMEOUT_MS
  for (;;) {
    await clearOrphan(options)
    try {
      return await launch(options, signal)
    } catch (error) {
      if (!LEFTOVER_SIGNS.test((error as Error).message) || performance.now() > deadline) throw error
      await sleep(LEFTOVER_RETRY_MS, undefined, { signal })
    }
  }
}

async function launch (
  { postgres, spawn, cluster, socketFolder, database, logFile, fastShutdownMs }: PostmasterOptions,
  signal?: AbortSignal
): Promise<Postmaster> {
  const settings = { ...SETTINGS, unix_socket_directories: `"${socketFolder.replaceAll('"', '""')}"` }
  const child = spawn(postgres, [
    '-D', cluster, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  ], logFile)
  const ended = endOf(child)
  const stop = async () => await shutDown(
    signal => { child.kill(signal) }, async ms => await withinMs(ms, ended) !== undefined, fastShutdownMs
  )
  try {
    await untilReady(child.pid, cluster, ended, signal)
    await ensureDatabase(socketFolder, database)
  } catch (error) {
    await stop()
    throw await errorWithLog(`PostgreSQL does not start: ${(error as Error).message}`, logFile, error)
  }
  return { ended, stop }
}

async function untilReady (
  pid: number | undefined, cluster: string, ended: Promise<string>, signal?: AbortSignal
): Promise<void> {
  for (const deadline = performance.now() + START_TIMEOUT_MS; performance.now() < deadline;) {
    const found = await readPidFile(cluster)
    if (found?.pid === pid && found?.ready) return
    const end = await withinMs(READY_POLL_MS, ended)
    if (end !== undefined) throw new Error(`it ended with ${end}`)
    signal?.throwIfAborted()
  }
  throw new Error(`it is not ready after ${START_TIMEOUT_MS} ms`)
}

async function ensureDatabase (socketFolder: string, database: string): Promise<void> {
  const client = new pg.Client({
    connectionString: urlOf(socketFolder, 'postgres'),
    connectionTimeoutMillis: QUERY_TIMEOUT_MS,
    query_timeout: QUERY_TIMEOUT_MS
  })
  // A connection that breaks rejects the query; without a listener it would also end the process.
  client.on('error', () => {})
  await client.connect()
  try {
    const { rowCount } = await client.query('select 1 from pg_database where datname = $1', [database])
    if (!rowCount) await client.query(`create database ${client.escapeIdentifier(database)}`)
  } finally {
    await client.end()
  }
}
