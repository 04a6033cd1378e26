/**
 * Reads what a server and its PostgreSQL have used so far. The difference of two
 * readings is what a load cost.
 *
 * PostgreSQL's own counters lag up to a second behind per connection, so both
 * readings are taken while the load runs: the lag is then the same in both.
 */
import pg from 'pg'
import { cpuSeconds, familyCpuSeconds, nameOf, parentOf } from './process-times.ts'
import { type Server } from './server.ts'

export interface Reading {
  at: number
  serverCpu: number
  postgresCpu: number
  /** Of this process, which is the load generator. */
  generatorCpu: number
  walBytes: number
  walSyncs: number
  /** Transactions that wrote something. */
  commits: number
}

export interface Meter extends AsyncDisposable { read (): Promise<Reading> }

// Version 18 moved the syncs from pg_stat_wal to pg_stat_io.
const SYNCS_18 = 'select sum(fsyncs)::bigint as syncs from pg_stat_io where object = \'wal\''
const SYNCS = 'select wal_sync as syncs from pg_stat_wal'
const POSITION = `
  select pg_current_wal_lsn() - '0/0'::pg_lsn as bytes, pg_snapshot_xmax(pg_current_snapshot())::text as xid`

export async function openMeter (server: Server): Promise<Meter> {
  if (server.databaseUrl === undefined) return withoutDatabase(server)
  const client = new pg.Client({ connectionString: server.databaseUrl })
  client.on('error', () => {})
  await client.connect()
  const { rows: [{ version }] } = await client.query(
    'select current_setting(\'server_version_num\')::int as version'
  )
  const syncs = version >= 180_000 ? SYNCS_18 : SYNCS
  const postmaster = await postmasterOf(client)

  return {
    async read () {
      const { rows: [position] } = await client.query(POSITION)
      const { rows: [wal] } = await client.query(syncs)
      return {
        ...await processes(server),
        postgresCpu: postmaster === undefined ? NaN : await familyCpuSeconds(postmaster),
        walBytes: Number(position.bytes),
        walSyncs: Number(wal.syncs),
        commits: Number(position.xid)
      }
    },
    async [Symbol.asyncDispose] () { await client.end() }
  }
}

function withoutDatabase (server: Server): Meter {
  const nothing = { postgresCpu: 0, walBytes: 0, walSyncs: 0, commits: 0 }
  return {
    read: async () => ({ ...await processes(server), ...nothing }),
    async [Symbol.asyncDispose] () {}
  }
}

async function processes ({ pid }: Server): Promise<Pick<Reading, 'at' | 'serverCpu' | 'generatorCpu'>> {
  const { user, system } = process.cpuUsage()
  return { at: performance.now(), serverCpu: await cpuSeconds(pid), generatorCpu: (user + system) / 1e6 }
}

/** Undefined: the database runs elsewhere. */
async function postmasterOf (client: pg.Client): Promise<number | undefined> {
  const { rows: [{ pid }] } = await client.query('select pg_backend_pid() as pid')
  const name = await nameOf(pid)
  return name === 'postgres' || name === 'postmaster' ? await parentOf(pid) : undefined
}
