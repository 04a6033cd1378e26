/**
 * What runs named statements: each by itself, or those of a batch in groups.
 *
 * Classes, because one is made for each transaction: a getter in an object literal gives every object of it a
 * hidden class of its own, which keeps what the getter can reach until the next full collection.
 */
import { drizzle, type NodePgDatabase } from 'drizzle-orm/node-postgres'
import pg from 'pg'
import { translated } from '../database-errors.ts'
import { StatementGroup } from './statement-group.ts'

/** A hand-written statement, prepared once per connection under its name. */
export interface Statement { name: string, text: string }

export interface Executor {
  /**
   * Runs a named statement. Throws `DatabaseAway` or `DatabaseSlow`, both `unavailable`, else the driver's
   * DatabaseError.
   */
  rows<Row> (statement: Statement, values: unknown[]): Promise<Row[]>
  readonly orm: NodePgDatabase
}

export const types = {
  // Sequence numbers are bigint and stay far below 2^53.
  getTypeParser: (oid: number, format?: 'text' | 'binary') =>
    oid === 20 ? Number : pg.types.getTypeParser(oid, format)
} as pg.CustomTypesConfig

type Watch = <T>(work: () => Promise<T>) => Promise<T>

/** On a connection, or on any of a pool. */
export class DirectExecutor implements Executor {
  readonly #connection: pg.Pool | pg.PoolClient
  readonly #watch: Watch
  #orm: NodePgDatabase | undefined

  constructor (connection: pg.Pool | pg.PoolClient, watch: Watch = work => work()) {
    this.#connection = connection
    this.#watch = watch
  }

  async rows<Row> ({ name, text }: Statement, values: unknown[]): Promise<Row[]> {
    const result = await this.query({ name, text, values })
    const { rows } = result
    result.rows = [] // the driver leads to the result until a full collection, as to a StatementGroup
    return rows as Row[]
  }

  get orm (): NodePgDatabase {
    return (this.#orm ??= drizzle({ client: this as unknown as pg.Pool }))
  }

  /** Also for drizzle. */
  async query (...args: unknown[]): Promise<pg.QueryResult> {
    return await this.#watch(async () => {
      try {
        return await (this.#connection.query as (...args: unknown[]) => Promise<pg.QueryResult>).apply(
          this.#connection, args
        )
      } catch (error) {
        throw translated(error)
      }
    })
  }
}

export class GroupingExecutor implements Executor {
  readonly #client: pg.PoolClient
  #group: StatementGroup | undefined
  #broken = false

  constructor (client: pg.PoolClient) {
    this.#client = client
  }

  /** The connection failed, or the server did not answer. */
  get broken (): boolean { return this.#broken }

  get orm (): NodePgDatabase { throw new Error('a batch runs prepared statements') }

  async rows<Row> (statement: Statement, values: unknown[]): Promise<Row[]> {
    const group = this.#group ?? new StatementGroup(types)
    const rows = group.add(statement, values)
    if (group !== this.#group) this.#client.query(group)
    try {
      return await rows as Row[]
    } catch (error) {
      this.#broken ||= !(error instanceof pg.DatabaseError)
      throw translated(error)
    }
  }

  /** Sends what `ask` asks for as one group; alone, a statement is a group of its own. */
  async together<T extends ReadonlyArray<Promise<unknown>>> (
    ask: () => T
  ): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
    const group = this.#group = new StatementGroup(types)
    let asked: T
    try {
      asked = ask()
    } finally {
      this.#group = undefined
    }
    if (!group.empty) this.#client.query(group)
    return await Promise.all(asked)
  }
}
