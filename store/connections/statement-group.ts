/**
 * Prepared statements that go to the server together: one write, one Sync, one answer.
 *
 * The driver ends each query with a Sync of its own, at which the server sends what it has: six
 * statements are six packets to send, to wake up for and to read. A group has one Sync. The server
 * runs its statements one after the other, and skips those behind one that fails. What a statement
 * returns is described once per connection, not each time.
 *
 * A custom query of the driver, as pg-cursor is; it must not be used on a connection in pipeline mode.
 */
import pg from 'pg'
import utils from 'pg/lib/utils.js'

/** Prepared under its name. */
interface Statement { name: string, text: string }

interface Entry {
  statement: Statement
  values: unknown[]
  rows: object[]
  resolve: (rows: object[]) => void
  reject: (error: unknown) => void
}

/** What is used of the driver's connection: the messages of the extended query protocol. */
interface Connection {
  on (event: 'parseComplete', listener: () => void): void
  stream: { cork (): void, uncork (): void }
  parse (message: { name: string, text: string }): void
  bind (message: { statement: string, values: unknown[], valueMapper: (value: unknown) => unknown }): void
  describe (message: { type: 'P' }): void
  execute (message: object): void
  sync (): void
}

/** What is used of the driver's result: it makes rows of what the server sends. */
interface RowParser {
  addFields (fields: unknown[]): void
  parseRow (fields: unknown[]): object
}

// Its type leaves out that the mode may be left out, and how rows are made.
const ResultOf = pg.Result as unknown as new (mode: undefined, types: pg.CustomTypesConfig) => RowParser

/** What is prepared on a connection. */
interface Prepared {
  parsed: Set<string>
  /** Sent to be parsed, in order. */
  parsing: string[]
  /** By statement, once it was described; null: it returns no rows. */
  parsers: Map<string, RowParser | null>
}

const preparedOn = new WeakMap<Connection, Prepared>()

function prepared (connection: Connection): Prepared {
  let known = preparedOn.get(connection)
  if (known === undefined) {
    const { parsed, parsing } = known = { parsed: new Set(), parsing: [], parsers: new Map() }
    // Parsed stays parsed, whether or not it can then be executed.
    connection.on('parseComplete', () => { parsed.add(parsing.shift()!) })
    preparedOn.set(connection, known)
  }
  return known
}

export class StatementGroup implements pg.Submittable {
  readonly #types: pg.CustomTypesConfig
  #entries: Entry[] = []
  #prepared: Prepared | undefined
  /** The statement whose answer comes next. */
  #at = 0
  #failed = false
  /** Called by the driver's timeout, and by itself when all is over. */
  callback: (error?: unknown) => void = () => {}

  constructor (types: pg.CustomTypesConfig) {
    this.#types = types
  }

  /** To be called before the group is given to the client. */
  add (statement: Statement, values: unknown[]): Promise<object[]> {
    return new Promise((resolve, reject) => {
      this.#entries.push({ statement, values, rows: [], resolve, reject })
    })
  }

  get empty (): boolean { return this.#entries.length === 0 }

  submit (driver: pg.Connection): Error | null {
    const connection = driver as unknown as Connection
    const { parsed, parsing, parsers } = this.#prepared = prepared(connection)
    parsing.splice(0) // what an earlier group could not parse
    connection.stream.cork()
    try {
      for (const { statement: { name, text }, values } of this.#entries) {
        if (!parsed.has(name) && !parsing.includes(name)) {
          connection.parse({ name, text })
          parsing.push(name)
        }
        connection.bind({ statement: name, values, valueMapper: utils.prepareValue })
        if (!parsers.has(name)) connection.describe({ type: 'P' })
        connection.execute({})
      }
    } catch (error) {
      // A value that cannot be sent: what was written before it is ended, and answered.
      this.#fail(error)
    } finally {
      connection.sync()
      connection.stream.uncork()
    }
    return null
  }

  handleRowDescription ({ fields }: { fields: unknown[] }): void {
    const parser = new ResultOf(undefined, this.#types)
    parser.addFields(fields)
    this.#prepared!.parsers.set(this.#entries[this.#at]!.statement.name, parser)
  }

  handleDataRow ({ fields }: { fields: unknown[] }): void {
    const entry = this.#entries[this.#at]!
    try {
      entry.rows.push(this.#prepared!.parsers.get(entry.statement.name)!.parseRow(fields))
    } catch (error) {
      this.#fail(error)
    }
  }

  handleCommandComplete (): void {
    const { name } = this.#entries[this.#at++]!.statement
    const { parsers } = this.#prepared!
    if (!parsers.has(name)) parsers.set(name, null)
  }

  handleError (error: unknown): void {
    this.#fail(error)
    this.callback(error)
  }

  // The driver's timeout is a function literal that it assigns to `callback`. V8 puts such a function among
  // the old objects at once, and what it leads to looks alive until the next full collection: the group, but
  // not what was written and read.
  handleReadyForQuery (): void {
    if (!this.#failed) for (const { resolve, rows } of this.#entries) resolve(rows)
    this.#entries = []
    this.callback()
  }

  // The first failure is that of all: nothing of the group was committed.
  #fail (error: unknown): void {
    if (this.#failed) return
    this.#failed = true
    for (const { reject } of this.#entries) reject(error)
  }
}
