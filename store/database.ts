/**
 * Connections to PostgreSQL, and what a failing one means.
 *
 * Single statements, transactions and the committer have connections of their
 * own: thousands of devices that come back at once queue for the first, and
 * never in front of a commit.
 */
import { drizzle, type NodePgDatabase } from 'drizzle-orm/node-postgres'
import pg from 'pg'
import { AppError, unavailable } from '../core/errors.ts'
import { StatementGroup } from './statement-group.ts'

const READ_CONNECTIONS = 10
const WRITE_CONNECTIONS = 6
/** One for each batch that may be in flight, and one that is there while another is replaced. */
const COMMIT_CONNECTIONS = 5
const MAX_CONNECTION_AGE_S = 300
/** How often the committer has its statements planned anew, which costs some milliseconds. */
const REPLAN_MS = 30_000
/** Devices are opened in sets, of which one of each kind is in flight. */
const OPENING_CONNECTIONS = 3
const CONNECT_TIMEOUT_MS = 5_000
const QUERY_TIMEOUT_MS = 15_000
const MAX_ATTEMPTS = 10

// Plans must not depend on statistics. Made while the tables were empty, or planned freely, hot statements
// read whole tables for good: 17 to 38 ms to the device at 200 messages/s on a fresh PostgreSQL 15, against
// 3.6 ms with these settings (test/store/plan-stability.test.ts). Every statement here is written to be
// answered from indexes, row by row.
export const PLANNER = [
  'enable_seqscan = off', 'enable_bitmapscan = off', 'enable_hashjoin = off', 'enable_mergejoin = off',
  'jit = off', 'plan_cache_mode = force_generic_plan'
].map(setting => `set ${setting}`).join('; ')

/** A hand-written statement, prepared once per connection under its name. */
export interface Statement { name: string, text: string }

/** A transaction whose reads go out together, and whose writes go out together with the commit. */
export interface Batch<Context, Result> {
  /**
   * Asks for everything at once, without waiting in between: nothing here may depend on an earlier answer.
   */
  read (tx: Executor): Promise<Context>
  /** Called again with a new context when the transaction is repeated. What it throws rolls back. */
  decide (context: Context, tx: Executor): Promise<{ writes: Write[], result: Result }>
}

/** Sends its statement at once. */
export type Write = (tx: Executor) => Promise<unknown>

export interface Executor {
  /**
   * Runs a named statement. Throws AppError `unavailable` when the database is away, else the driver's
   * DatabaseError.
   */
  rows<Row> (statement: Statement, values: unknown[]): Promise<Row[]>
  orm: NodePgDatabase
}

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
   * One transaction on the write pool; repeated from the start after a deadlock or a serialization failure.
   */
  transact<T> (work: (tx: Executor) => Promise<T>): Promise<T>
  /** One transaction in two round trips; repeated like any other. */
  commit<Context, Result> (batch: Batch<Context, Result>): Promise<Result>
  /**
   * One read-only transaction on the read pool, for searches: GIN indexes, which need bitmap scans, are
   * allowed. The server cancels a statement that takes longer (SQLSTATE 57014).
   */
  transactReadOnly<T> (statementTimeoutMs: number, work: (tx: Executor) => Promise<T>): Promise<T>
  pools (): PoolState[]
}

const types = {
  // Sequence numbers are bigint and stay far below 2^53.
  getTypeParser: (oid: number, format?: 'text' | 'binary') =>
    oid === 20 ? Number : pg.types.getTypeParser(oid, format)
} as pg.CustomTypesConfig

export function openDatabase (url: string, onError: (error: Error) => void): Database {
  const pool = (max: number, committing = false): pg.Pool => new pg.Pool({
    connectionString: url,
    max,
    // A connection of the committer is never idle for long enough to be worth closing. Others come and go, so
    // that no plan grows old: one made before the first ANALYZE may have taken the wrong one of two indexes.
    ...(committing ? { idleTimeoutMillis: 0 } : { maxLifetimeSeconds: MAX_CONNECTION_AGE_S }),
    types,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: QUERY_TIMEOUT_MS,
    keepAlive: true,
    application_name: 'echo',
    onConnect: async (client: pg.ClientBase) => { await client.query(PLANNER) }
  } as pg.PoolConfig)
  const readPool = pool(READ_CONNECTIONS)
  const writePool = pool(WRITE_CONNECTIONS)
  const commitPool = pool(COMMIT_CONNECTIONS, true)
  const openingPool = pool(OPENING_CONNECTIONS)
  const pools = [readPool, writePool, commitPool, openingPool]
  for (const pool of pools) {
    pool.on('error', onError) // an idle connection broke; the pool replaces it
    // One in use breaks too: its query rejects and says so, but an error event without a listener ends the
    // process.
    pool.on('connect', client => { client.on('error', () => {}) })
  }
  return {
    autocommit: executor(readPool),
    opening: executor(openingPool),
    transact: work => repeatOnConflict(() => transactOnce(writePool, work)),
    transactReadOnly: (statementTimeoutMs, work) => transactOnce(readPool, async tx => {
      await tx.rows(LIMIT_READS, [`${statementTimeoutMs}ms`])
      return await work(tx)
    }),
    commit: batch => repeatOnConflict(() => commitOnce(commitPool, batch)),
    pools: () => [
      stateOf('reads', readPool), stateOf('writes', writePool), stateOf('commits', commitPool),
      stateOf('opening', openingPool)
    ],
    async [Symbol.asyncDispose] () { await Promise.all(pools.map(pool => pool.end())) }
  }
}

const stateOf = (
  name: PoolState['name'], { totalCount: total, idleCount: idle, waitingCount: waiting }: pg.Pool
): PoolState =>
  ({ name, total, idle, waiting })

async function transactOnce<T> (pool: pg.Pool, work: (tx: Executor) => Promise<T>): Promise<T> {
  const client = await pool.connect().catch((error: unknown) => { throw translated(error) })
  const tx = executor(client)
  let broken = true
  try {
    await tx.rows(BEGIN, [])
    const result = await work(tx)
    await tx.rows(COMMIT, [])
    broken = false
    return result
  } catch (error) {
    broken = await client.query('rollback').then(() => false, () => true)
    throw error
  } finally {
    client.release(broken)
  }
}

async function commitOnce<Context, Result> (pool: pg.Pool, batch: Batch<Context, Result>): Promise<Result> {
  const client = await pool.connect().catch((error: unknown) => { throw translated(error) })
  const grouped = groupingExecutor(client)
  const { tx, together } = grouped
  let broken = true
  try {
    const [, context] = await together(() => [begin(client, tx), batch.read(tx)] as const)
    const { writes, result } = await batch.decide(context, tx)
    await together(() => [...writes.map(write => write(tx)), tx.rows(COMMIT, [])])
    broken = false
    return result
  } catch (error) {
    // What did not answer is not asked again.
    broken = grouped.broken || await client.query('rollback').then(() => false, () => true)
    throw error
  } finally {
    client.release(broken)
  }
}

const plannedAt = new WeakMap<pg.PoolClient, number>()

async function begin (client: pg.PoolClient, tx: Executor): Promise<void> {
  const now = performance.now()
  const old = now - (plannedAt.get(client) ?? -Infinity) > REPLAN_MS
  if (old) plannedAt.set(client, now)
  await Promise.all(old ? [tx.rows(DISCARD_PLANS, []), tx.rows(BEGIN, [])] : [tx.rows(BEGIN, [])])
}

interface GroupingExecutor {
  tx: Executor
  /** Sends what `ask` asks for as one group; alone, a statement is a group of its own. */
  together<T extends ReadonlyArray<Promise<unknown>>> (
    ask: () => T
  ): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }>
  /** The connection failed, or the server did not answer. */
  readonly broken: boolean
}

function groupingExecutor (client: pg.PoolClient): GroupingExecutor {
  let group: StatementGroup | undefined
  let broken = false

  async function translatedRows<Row> (rows: Promise<object[]>): Promise<Row[]> {
    try {
      return await rows as Row[]
    } catch (error) {
      broken ||= !(error instanceof pg.DatabaseError)
      throw translated(error)
    }
  }

  return {
    tx: {
      rows (statement, values) {
        if (group !== undefined) return translatedRows(group.add(statement, values))
        const alone = new StatementGroup(types)
        const rows = alone.add(statement, values)
        client.query(alone)
        return translatedRows(rows)
      },
      get orm (): NodePgDatabase { throw new Error('a batch runs prepared statements') }
    },
    async together (ask) {
      const asking = group = new StatementGroup(types)
      let asked: ReturnType<typeof ask>
      try {
        asked = ask()
      } finally {
        group = undefined
      }
      if (!asking.empty) client.query(asking)
      return await Promise.all(asked)
    },
    get broken () { return broken }
  }
}

const DISCARD_PLANS: Statement = { name: 'discard_plans', text: 'discard plans' }
const BEGIN: Statement = { name: 'begin', text: 'begin' }
const LIMIT_READS: Statement = {
  name: 'limit_reads',
  text: `
    select set_config('transaction_read_only', 'on', true), set_config('statement_timeout', $1, true),
           set_config('enable_bitmapscan', 'on', true)`
}
const COMMIT: Statement = { name: 'commit', text: 'commit' }

async function repeatOnConflict<T> (run: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await run()
    } catch (error) {
      const code = databaseError(error)?.code
      const conflict = code === '40001' || code === '40P01'
      if (!conflict || attempt === MAX_ATTEMPTS) throw error
    }
  }
}

function executor (connection: pg.Pool | pg.PoolClient): Executor {
  const client = {
    query: async (...args: unknown[]) => {
      try {
        return await (connection.query as (...args: unknown[]) => Promise<pg.QueryResult>).apply(
          connection, args
        )
      } catch (error) {
        throw translated(error)
      }
    }
  }
  let orm: NodePgDatabase | undefined
  return {
    rows: async <Row> ({ name, text }: Statement, values: unknown[]) =>
      (await client.query({ name, text, values })).rows as Row[],
    get orm () { return (orm ??= drizzle({ client: client as unknown as pg.Pool })) }
  }
}

/** The server's own error behind whatever wraps it. */
export function databaseError (error: unknown): pg.DatabaseError | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof pg.DatabaseError) return cause
  }
  return undefined
}

export const violates = (error: unknown, constraint: string): boolean =>
  databaseError(error)?.constraint === constraint

// 08: connection, 53: out of disk, memory or connections, 55000: takes no connections,
// 57P: being shut down or starting, 58: I/O error, 25006: read only. Whatever the driver throws that
// is no answer of the server at all means that the connection is gone.
function translated (error: unknown): unknown {
  if (error instanceof AppError) return error
  if (error instanceof pg.DatabaseError) {
    return /^(08|53|55000|57P|58|25006)/.test(error.code ?? '')
      ? unavailable('the database is not available', error)
      : error
  }
  return unavailable('the database is not available', error)
}
