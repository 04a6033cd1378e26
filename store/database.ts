/**
 * Connections to PostgreSQL, and what a failing one means.
 *
 * Single statements, transactions and the committer have connections of their
 * own: thousands of devices that come back at once queue for the first, and
 * never in front of a commit.
 */
import pg from 'pg'
import { DatabaseAway } from '../core/errors.ts'
import { type Limits, limitsOf, PATIENT, PLANNER, PROMPT } from './connections/connection-settings.ts'
import { isRepeatable, translated } from './database-errors.ts'
import {
  DirectExecutor, type Executor, GroupingExecutor, type Statement, types
} from './connections/executors.ts'
import { type Outage } from './connections/outage.ts'
import { createServerWatch, identify } from './connections/server-identity.ts'

const READ_CONNECTIONS = 10
const WRITE_CONNECTIONS = 6
/** One for each batch that may be in flight, and one that is there while another is replaced. */
const COMMIT_CONNECTIONS = 5
const MAX_CONNECTION_AGE_S = 300
/** How often the committer has its statements planned anew, which costs some milliseconds. */
const REPLAN_MS = 30_000
/** Devices are opened in sets, of which one of each kind is in flight. */
const OPENING_CONNECTIONS = 3
const CONNECT_TIMEOUT_MS = 3_000
const MAX_ATTEMPTS = 10

export type { Executor, Statement }

/**
 * A transaction whose reads go out together, and whose writes go out together with the commit, and with its
 * beginning when nothing was locked for what was read.
 */
export interface Batch<Context, Result> {
  /**
   * Like `read`, but before the transaction and without its locks: what is written must find out whether it
   * was right. Undefined: it has to be read.
   */
  look? (db: Executor): Promise<Context | undefined>
  /**
   * Asks for everything at once, without waiting in between: nothing here may depend on an earlier answer.
   */
  read (tx: Executor): Promise<Context>
  /** Called again with a new context when the transaction is repeated. What it throws rolls back. */
  decide (context: Context, tx: Executor): Promise<{ writes: Write[], result: Result }>
  /** How long it waits for each lock, when that is less than usual. */
  lockTimeoutMs?: number
}

/** Sends its statement at once. */
export type Write = (tx: Executor) => Promise<unknown>

/** Connections of a pool, and what waits for one. */
export interface PoolState {
  name: 'reads' | 'writes' | 'commits' | 'opening'
  total: number
  idle: number
  waiting: number
}

export interface Database extends AsyncDisposable {
  autocommit: Executor
  /** For devices that connect, so that a crowd of them takes no connection from requests and commits. */
  opening: Executor
  /**
   * One transaction on the write pool; repeated from the start after a deadlock, a serialization failure, or
   * when the server ended it because this process did nothing for too long.
   */
  transact<T> (work: (tx: Executor) => Promise<T>): Promise<T>
  /** One transaction in two round trips, or in one; repeated like any other. */
  commit<Context, Result> (batch: Batch<Context, Result>): Promise<Result>
  /**
   * One read-only transaction on the read pool, for searches: GIN indexes, which need bitmap scans, are
   * allowed. The server cancels a statement that takes longer (SQLSTATE 57014).
   */
  transactReadOnly<T> (statementTimeoutMs: number, work: (tx: Executor) => Promise<T>): Promise<T>
  pools (): PoolState[]
  /** Called when a connection finds another server than those before: a standby took over, or a restore. */
  onOtherServer (listener: () => void): void
  /** For how long the database has been away (ms); 0 while it is not. */
  awayMs (): number
}

export function openDatabase (url: string, outage?: Outage): Database {
  const server = createServerWatch()
  const pool = (name: PoolState['name'], max: number, limits: Limits): Pool => {
    const pool = new pg.Pool({
      connectionString: url,
      max,
      // A connection of the committer is never idle for long enough to be worth closing. Others come and go,
      // so that no plan grows old: one made before the first ANALYZE may have taken the wrong index.
      ...(name === 'commits' ? { idleTimeoutMillis: 0 } : { maxLifetimeSeconds: MAX_CONNECTION_AGE_S }),
      types,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      query_timeout: limits.noAnswerMs,
      keepAlive: true,
      application_name: 'echo',
      onConnect: async (client: pg.ClientBase) => {
        await client.query(`${PLANNER}; ${limitsOf(limits)}`)
        server.found(await identify(client))
      }
    } as pg.PoolConfig)
    pool.on('error', error => outage?.lost(error)) // an idle connection broke; the pool replaces it
    // One in use breaks too, and its query rejects; but an error event without a listener ends the process.
    pool.on('connect', client => { client.on('error', error => noteBreak(client, error)) })
    return { name, pool, outage }
  }
  const reads = pool('reads', READ_CONNECTIONS, PATIENT)
  const writes = pool('writes', WRITE_CONNECTIONS, PATIENT)
  const commits = pool('commits', COMMIT_CONNECTIONS, PROMPT)
  const opening = pool('opening', OPENING_CONNECTIONS, PROMPT)
  const pools = [reads, writes, commits, opening]
  return {
    autocommit: new DirectExecutor(reads.pool, work => watched(reads, work)),
    opening: new DirectExecutor(opening.pool, work => watched(opening, work)),
    transact: work => repeatOnConflict(writes, () => transactOnce(writes, work)),
    transactReadOnly: (statementTimeoutMs, work) => watched(reads, () => transactOnce(reads, async tx => {
      await tx.rows(LIMIT_READS, [`${statementTimeoutMs}ms`])
      return await work(tx)
    })),
    commit: batch => repeatOnConflict(commits, () => commitOnce(commits, batch)),
    pools: () => pools.map(stateOf),
    onOtherServer: server.onOther,
    awayMs () {
      const since = outage?.since()
      return since === undefined ? 0 : performance.now() - since
    },
    async [Symbol.asyncDispose] () { await Promise.all(pools.map(({ pool }) => pool.end())) }
  }
}

interface Pool { name: PoolState['name'], pool: pg.Pool, outage: Outage | undefined }

/** Why a connection that is in use ended: the next query on it does not say. */
const brokenBy = new WeakMap<pg.PoolClient, Error>()

// The server says why it ends a connection; the end itself is a second error.
function noteBreak (client: pg.PoolClient, error: Error): void {
  if (!brokenBy.has(client)) brokenBy.set(client, error)
}

async function watched<T> ({ name, outage }: Pool, work: () => Promise<T>): Promise<T> {
  try {
    const result = await work()
    outage?.answered()
    return result
  } catch (error) {
    if (error instanceof DatabaseAway) outage?.failed(name, error)
    throw error
  }
}

const stateOf = (
  { name, pool: { totalCount: total, idleCount: idle, waitingCount: waiting } }: Pool
): PoolState => ({ name, total, idle, waiting })

async function connect ({ pool }: Pool): Promise<pg.PoolClient> {
  return await pool.connect().catch((error: unknown) => { throw translated(error) })
}

/** Ends a transaction that failed. True when the connection is of no more use. */
async function rollBack (client: pg.PoolClient, error: unknown): Promise<boolean> {
  // What did not answer is not asked again.
  if (error instanceof DatabaseAway) return true
  return await client.query('rollback').then(() => false, () => true)
}

/** What failed says why the server ended the connection, if it did. */
const explained = (client: pg.PoolClient, error: unknown): unknown =>
  error instanceof DatabaseAway && brokenBy.has(client) ? translated(brokenBy.get(client)) : error

async function transactOnce<T> (pool: Pool, work: (tx: Executor) => Promise<T>): Promise<T> {
  const client = await connect(pool)
  const tx = new DirectExecutor(client)
  let broken = true
  try {
    await tx.rows(BEGIN, [])
    const result = await work(tx)
    await tx.rows(COMMIT, [])
    broken = false
    return result
  } catch (error) {
    broken = await rollBack(client, error)
    throw explained(client, error)
  } finally {
    client.release(broken)
  }
}

async function commitOnce<Context, Result> (
  pool: Pool, batch: Batch<Context, Result>
): Promise<Result> {
  const client = await connect(pool)
  const tx = new GroupingExecutor(client)
  let broken = true
  try {
    const start = (): Promise<void> => begin(client, tx, batch.lockTimeoutMs)
    const [looked] = await tx.together(() => [batch.look?.(tx) ?? Promise.resolve(undefined)])
    const context = looked !== undefined
      ? looked
      : (await tx.together(() => [start(), batch.read(tx)] as const))[1]
    const { writes, result } = await batch.decide(context, tx)
    await tx.together(() => [
      ...(looked === undefined ? [] : [start()]), ...writes.map(write => write(tx)), tx.rows(COMMIT, [])
    ])
    broken = false
    return result
  } catch (error) {
    broken = tx.broken || await rollBack(client, error)
    throw explained(client, error)
  } finally {
    client.release(broken)
  }
}

const plannedAt = new WeakMap<pg.PoolClient, number>()

async function begin (
  client: pg.PoolClient, tx: Executor, lockTimeoutMs: number | undefined
): Promise<void> {
  const now = performance.now()
  const old = now - (plannedAt.get(client) ?? -Infinity) > REPLAN_MS
  if (old) plannedAt.set(client, now)
  await Promise.all([
    ...(old ? [tx.rows(DISCARD_PLANS, [])] : []),
    tx.rows(BEGIN, []),
    ...(lockTimeoutMs === undefined ? [] : [tx.rows(LIMIT_LOCKS, [`${lockTimeoutMs}ms`])])
  ])
}

const DISCARD_PLANS: Statement = { name: 'discard_plans', text: 'discard plans' }
const BEGIN: Statement = { name: 'begin', text: 'begin' }
const LIMIT_READS: Statement = {
  name: 'limit_reads',
  text: `
    select set_config('transaction_read_only', 'on', true), set_config('statement_timeout', $1, true),
           set_config('enable_bitmapscan', 'on', true)`
}
const LIMIT_LOCKS: Statement = {
  name: 'limit_locks', text: "select set_config('lock_timeout', $1, true)"
}
const COMMIT: Statement = { name: 'commit', text: 'commit' }

async function repeatOnConflict<T> (pool: Pool, run: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await watched(pool, run)
    } catch (error) {
      if (!isRepeatable(error) || attempt === MAX_ATTEMPTS) throw error
    }
  }
}
