/**
 * An executor that runs every statement as EXPLAIN ANALYZE and keeps the plan.
 *
 * The functions of store/ hand it their real texts and parameters; what they
 * return is nothing, for no rows come back. A statement is prepared and executed
 * twice: planned for these values, and with the generic plan that a prepared
 * statement has from its sixth execution on.
 */
import { drizzle } from 'drizzle-orm/node-postgres'
import pg from 'pg'
import { PLANNER } from '../../store/connections/connection-settings.ts'
import { type Executor } from '../../store/database.ts'

interface Node {
  'Node Type': string
  'Index Name'?: string
  'Relation Name'?: string
  'Actual Rows': number
  'Actual Loops': number
  'Rows Removed by Filter'?: number
  'Rows Removed by Index Recheck'?: number
  'Shared Hit Blocks': number
  'Shared Read Blocks': number
  Plans?: Node[]
}

export interface Plan {
  statement: string
  kind: 'custom' | 'generic'
  indexes: string[]
  /** Tables that were read from their beginning to their end. */
  scanned: string[]
  /** Pages of 8 KB, each counted as often as it was looked at. */
  buffers: number
  /** The most rows that one node brought or threw away. */
  rows: number
}

/** Explains what `work` does with the settings of the product's connections; writes are rolled back. */
export async function plansOf (
  url: string, work: (db: Executor) => Promise<unknown>, { search = false } = {}
): Promise<Plan[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(PLANNER)
  if (search) await client.query('set enable_bitmapscan = on') // as transactReadOnly does
  const plans: Plan[] = []
  try {
    for (const kind of ['custom', 'generic'] as const) {
      await client.query('begin')
      await client.query(`set local plan_cache_mode = force_${kind}_plan`)
      await client.query(LET_STALE_ROWS_BE)
      await work(explaining(client, kind, plans))
      await client.query('rollback')
    }
    return plans
  } finally {
    await client.end()
  }
}

// What is written here was decided by no rows.
const LET_STALE_ROWS_BE =
  "create or replace function refuse_stale_rows() returns integer language sql as 'select 0'"

function explaining (client: pg.Client, kind: Plan['kind'], plans: Plan[]): Executor {
  /** A binary array, which EXECUTE does not take. */
  async function textOf (array: Buffer, type: string): Promise<string> {
    const { rows } = await client.query(`select $1::${type}::text as text`, [array])
    return rows[0].text
  }

  async function explain (name: string, text: string, values: unknown[]): Promise<void> {
    await client.query(`prepare explained as ${text}`)
    const literals = await Promise.all(values.map(async (value, i) =>
      literal(Buffer.isBuffer(value) ? await textOf(value, typeOf(i + 1, text)) : value)))
    const parameters = literals.length === 0 ? '' : `(${literals.join(', ')})`
    const { rows } = await client.query(
      `explain (analyze, buffers, timing off, format json) execute explained ${parameters}`
    )
    await client.query('deallocate explained')
    plans.push(summary(name, kind, rows[0]['QUERY PLAN'][0].Plan))
  }
  return {
    async rows ({ name, text }, values) {
      await explain(name, text, values)
      return []
    },
    orm: drizzle({
      client: {
        async query ({ text }: { text: string }, values: unknown[]) {
          await explain(text, text, values)
          return { rows: [] }
        }
      } as unknown as pg.Client
    })
  }
}

function summary (statement: string, kind: Plan['kind'], root: Node): Plan {
  const nodes = flatten(root)
  return {
    statement,
    kind,
    indexes: [...new Set(nodes.flatMap(node => node['Index Name'] ?? []))].sort(),
    scanned: nodes.filter(node => node['Node Type'] === 'Seq Scan').map(node => node['Relation Name']!),
    buffers: root['Shared Hit Blocks'] + root['Shared Read Blocks'],
    rows: Math.max(...nodes.map(node =>
      (node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0) +
        (node['Rows Removed by Index Recheck'] ?? 0)) * node['Actual Loops']))
  }
}

const flatten = (node: Node): Node[] => [node, ...(node.Plans ?? []).flatMap(flatten)]

const typeOf = (parameter: number, text: string): string =>
  new RegExp(`\\$${parameter}::(\\w+\\[\\])`).exec(text)![1]!

function literal (value: unknown): string {
  if (value === null || value === undefined) return 'null'
  if (Array.isArray(value)) {
    return pg.escapeLiteral(
    `{${value.map(element => element === null ? 'null' : JSON.stringify(plain(element))).join(',')}}`
    )
  }
  return pg.escapeLiteral(plain(value))
}

const plain = (value: unknown): string => value instanceof Date ? value.toISOString() : String(value)
