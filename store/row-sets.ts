/**
 * Statements over sets of rows; in the statement's text each set is a table.
 *
 * A small set is sent as VALUES, a larger one as a binary array for each column. PostgreSQL takes some 10
 * microseconds to read an array and to unnest it, however little is in it: to write a lone message took
 * 0.19 ms with arrays, and takes 0.04 ms with values. Few texts are to be prepared, so a small set is filled
 * up with rows of nulls, which a statement leaves out.
 */
import { binaryArray, type Elements, type ElementType } from './binary-arrays.ts'
import { type Executor, type Statement } from './database.ts'

/** Numbers of rows that are sent as VALUES. */
const SIZES = [1, 2, 4, 8]
const MANY = Infinity

/** Its type in the database, and what a row has there. */
type Column<Row> = {
  [Type in ElementType]: readonly [type: Type, of: (row: Row) => Elements[Type] | null | undefined]
}[ElementType]

interface RowSet<Row> {
  /** What the text calls it. */
  alias: string
  columns: Record<string, Column<Row>>
}

interface SetStatement<Sets extends unknown[]> {
  name: string
  /** Parameters that come before the sets. */
  scalars: number
  sets: { [I in keyof Sets]: RowSet<Sets[I]> }
  /** Gets an item for a FROM clause for each of the sets. */
  text: (...sets: { [I in keyof Sets]: string }) => string
}

/** Runs the statement over these sets: each has its rows in any number. */
type RunOverSets<Sets extends unknown[]> = <Result>(
  tx: Executor, sets: { [I in keyof Sets]: ReadonlyArray<Sets[I]> }, ...scalars: unknown[]
) => Promise<Result[]>

export function overSets<Sets extends unknown[]> (statement: SetStatement<Sets>): RunOverSets<Sets> {
  const statements = new Map<string, Statement>()
  const sets = (statement.sets as Array<RowSet<unknown>>).map(({ alias, columns }) => ({
    alias,
    names: Object.keys(columns),
    columns: Object.values(columns)
  }))

  function statementFor (sizes: number[]): Statement {
    const name = `${statement.name}_${sizes.map(size => size === MANY ? 'n' : size).join('_')}`
    let known = statements.get(name)
    if (known === undefined) {
      let parameters = statement.scalars
      const items = sets.map(({ alias, names, columns }, i) =>
        `${table(columns, sizes[i]!, () => `$${++parameters}`)} as ${alias} (${names.join(', ')})`)
      known = { name, text: statement.text(...items as Parameters<typeof statement.text>) }
      statements.set(name, known)
    }
    return known
  }

  return async (tx, rows, ...scalars) => {
    const sizes = rows.map(({ length }) => SIZES.find(size => size >= length) ?? MANY)
    const values = sets.flatMap(({ columns }, i) => valuesOf(columns, rows[i]!, sizes[i]!))
    return await tx.rows(statementFor(sizes), [...scalars, ...values])
  }
}

function table (columns: Array<Column<unknown>>, size: number, parameter: () => string): string {
  if (size === MANY) return `unnest(${columns.map(([type]) => `${parameter()}::${type}[]`).join(', ')})`
  const row = (): string => `(${columns.map(([type]) => `${parameter()}::${type}`).join(', ')})`
  return `(values ${Array.from({ length: size }, row).join(', ')})`
}

/** Row by row, or column by column. */
function valuesOf (columns: Array<Column<unknown>>, rows: readonly unknown[], size: number): unknown[] {
  if (size === MANY) return columns.map(([type, of]) => binaryArray(type, rows, of))
  const values: unknown[] = rows.flatMap(row => columns.map(([, of]) => of(row)))
  while (values.length < size * columns.length) values.push(null)
  return values
}
