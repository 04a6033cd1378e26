/**
 * A PostgreSQL with an asynchronous replica, behind one address that leads to the primary: Debian's 15 where
 * it is installed, else the embedded one.
 */
import { execFile } from 'node:child_process'
import { access, mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import pino from 'pino'
import { spawnerForPostgres, type Spawn } from '../../store/embedded-postgres/as-user.ts'
import { findBinaries, type Binaries } from '../../store/embedded-postgres/binaries.ts'
import { truncateLog } from '../../store/embedded-postgres/log-file.ts'
import { readPidFile } from '../../store/embedded-postgres/pid-file.ts'
import { startPostmaster, type Postmaster } from '../../store/embedded-postgres/postmaster.ts'
import { endOf } from '../../store/embedded-postgres/process-end.ts'
import {
  makeSocketFolder, removeSocketFolder, SOCKET_PORT, urlOf
} from '../../store/embedded-postgres/socket-folder.ts'
import { until } from '../support/until.ts'
import { signalTree } from './postgres.ts'
import { type Server } from './server.ts'
import { openSwitchboard, type Switchboard } from './switchboard.ts'

const DEBIAN = '/usr/lib/postgresql/15/bin'
const DATABASE = 'echo'
const PATIENCE_MS = 30_000

export interface ReplicatedPostgres extends AsyncDisposable, Server {
  url: string
  network: Switchboard
  /** A superuser's statement on the primary, past the switchboard. */
  sql (text: string): Promise<pg.QueryResult>
  /** From now on the replica gets nothing. */
  holdReplica (): Promise<void>
  /** The primary is killed and the replica takes over with what it has. */
  failOver (): Promise<void>
  /** Makes a replica of the primary while that serves. */
  addReplica (): Promise<void>
  /** From now on a commit waits until the replica has it. */
  synchronize (): Promise<void>
}

interface Instance { folder: string, cluster: string, sockets: string, postmaster: Postmaster, pid: number }

export async function startReplicatedPostgres (
  folder: string, onCrash: (name: string, how: string) => void = () => {}
): Promise<ReplicatedPostgres> {
  const spawn = await spawnerForPostgres()
  const binaries = await newestBinaries()
  const network = await openSwitchboard()
  const running = new Set<Instance>()
  let made = 0

  async function start (cluster: string, own: string): Promise<Instance> {
    const logFile = join(own, 'postgres.log')
    await truncateLog(logFile)
    const sockets = await makeSocketFolder(own)
    const postmaster = await startPostmaster({
      postgres: binaries.postgres,
      spawn,
      cluster,
      socketFolder: sockets,
      database: DATABASE,
      logFile,
      log: pino({ level: 'error' })
    })
    const instance =
      { folder: own, cluster, sockets, postmaster, pid: (await readPidFile(cluster))!.pid }
    running.add(instance)
    postmaster.ended.then(how => { if (running.has(instance)) onCrash('postgres', how) }, () => {})
    return instance
  }

  async function newFolder (): Promise<string> {
    const own = join(folder, `pg${++made}`)
    await mkdir(own, { mode: 0o700 })
    return own
  }

  async function kill (instance: Instance): Promise<void> {
    running.delete(instance)
    signalTree(instance.pid, 'SIGKILL')
    await instance.postmaster.ended
  }

  // Before the folder goes.
  process.prependListener('exit', () => { for (const { pid } of running) signalTree(pid, 'SIGKILL') })

  const firstFolder = await newFolder()
  const firstCluster = join(firstFolder, 'data')
  await initialize(binaries, spawn, firstCluster, join(firstFolder, 'initdb.log'))
  let primary = await start(firstCluster, firstFolder)
  let replica: Instance | undefined
  network.lead(socketOf(primary))

  /** Of a running primary, as its documentation describes a base backup of one's own. */
  async function addReplica (): Promise<void> {
    const own = await newFolder()
    const cluster = join(own, 'data')
    const client = new pg.Client({ connectionString: urlOf(primary.sockets, DATABASE) })
    await client.connect()
    try {
      await client.query("select pg_backup_start('replica', true)")
      await promisify(execFile)('cp', ['-a', primary.cluster, cluster]).catch((error: { code?: number }) => {
        if (error.code !== 1) throw error // files that were removed while they were copied
      })
      const { rows: [backup] } = await client.query('select labelfile from pg_backup_stop(false)')
      await writeFile(join(cluster, 'backup_label'), backup.labelfile)
    } finally {
      await client.end()
    }
    await rm(join(cluster, 'postmaster.pid'), { force: true })
    const conninfo = `host=${primary.sockets} port=${SOCKET_PORT} user=postgres`
    await writeFile(join(cluster, 'postgresql.auto.conf'), [
      `primary_conninfo = '${conninfo}'`, 'wal_retrieve_retry_interval = 200', ''
    ].join('\n'))
    await writeFile(join(cluster, 'standby.signal'), '')
    replica = await start(cluster, own)
    await until(async () => (await query(primary, 'select 1 from pg_stat_replication where state = $1', [
      'streaming'
    ])).rowCount === 1, 'the replica follows', PATIENCE_MS)
  }
  await addReplica()

  async function stop (): Promise<string> {
    for (const instance of [...running]) {
      await kill(instance)
      await removeSocketFolder(instance.sockets)
    }
    await network[Symbol.asyncDispose]()
    return 'stopped'
  }

  return {
    url: `postgres://postgres@127.0.0.1:${network.port}/${DATABASE}?sslmode=disable`,
    network,
    sql: text => query(primary, text),
    async holdReplica () {
      await query(primary, "alter system set synchronous_standby_names = ''")
      await query(primary, 'select pg_reload_conf()')
      await query(replica!, "alter system set primary_conninfo = ''")
      await query(replica!, 'select pg_reload_conf()')
      await until(async () =>
        (await query(replica!, 'select 1 from pg_stat_wal_receiver')).rowCount === 0, 'it gets nothing',
      PATIENCE_MS)
    },
    async failOver () {
      await kill(primary)
      await query(replica!, 'select pg_promote()')
      primary = replica!
      replica = undefined
      network.lead(socketOf(primary))
    },
    addReplica,
    async synchronize () {
      await query(primary, "alter system set synchronous_standby_names = '*'")
      await query(primary, 'select pg_reload_conf()')
      await until(async () => (await query(
        primary, "select 1 from pg_stat_replication where sync_state = 'sync'")).rowCount === 1,
      'a commit waits for the replica', PATIENCE_MS)
    },
    name: 'postgres',
    async start () {
      primary = await start(primary.cluster, primary.folder)
    },
    kill: () => kill(primary),
    async pause () { signalTree(primary.pid, 'SIGSTOP') },
    async resume () { signalTree(primary.pid, 'SIGCONT') },
    stop,
    async [Symbol.asyncDispose] () { await stop() }
  }
}

const socketOf = ({ sockets }: Instance): string => join(sockets, `.s.PGSQL.${SOCKET_PORT}`)

async function newestBinaries (): Promise<Binaries> {
  const postgres = join(DEBIAN, 'postgres')
  return await access(postgres).then(() => true, () => false)
    ? { postgres, initdb: join(DEBIAN, 'initdb') }
    : await findBinaries()
}

async function initialize (
  { initdb }: Binaries, spawn: Spawn, cluster: string, logFile: string
): Promise<void> {
  const end = await endOf(spawn(initdb, [
    `--pgdata=${cluster}`, '--username=postgres', '--no-instructions', '--auth-local=trust',
    '--auth-host=reject', '--encoding=UTF8', '--locale=C.UTF-8'
  ], logFile))
  if (end !== 'exit code 0') throw new Error(`initdb failed (${end})`)
}

async function query ({ sockets }: Instance, text: string, values: unknown[] = []): Promise<pg.QueryResult> {
  const client = new pg.Client({ connectionString: urlOf(sockets, DATABASE) })
  client.on('error', () => {})
  await client.connect()
  try {
    return await client.query(text, values)
  } finally {
    await client.end()
  }
}
