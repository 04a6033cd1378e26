/**
 * Which rows each transaction locks, in which order: read from the statements that this process sends, and
 * from what the locking ones bring back.
 */
import pg from 'pg'
import { vi } from 'vitest'
import { StatementGroup } from '../../store/connections/statement-group.ts'

interface Sent { text: string, values: unknown[], rows: object[] }

/** As store/locks.ts says; everything else comes last. */
const RANKS: Record<string, number> = { erasures: 0, conversations: 1, users: 2 }
const LAST = 3
const rankOf = (table: string): number => RANKS[table] ?? LAST

export interface LockRecord {
  /** What broke the order, and the statements of its transaction up to there. */
  violations: string[]
  /** Tables locked by the transactions so far, each once, in its order: `conversations > users > devices`. */
  orders: Set<string>
}

/** Until the end of the test. */
export function recordLocks (): LockRecord {
  const record: LockRecord = { violations: [], orders: new Set() }
  const open = new Map<pg.Client, Sent[]>()
  const grouped = new WeakMap<object, Sent[]>()

  const add = StatementGroup.prototype.add
  vi.spyOn(StatementGroup.prototype, 'add').mockImplementation(async function (
    this: StatementGroup, { name, text }, values
  ) {
    const sent: Sent = { text, values, rows: [] }
    grouped.set(this, [...grouped.get(this) ?? [], sent])
    return await add.call(this, { name, text }, values).then(rows => (sent.rows = rows))
  })

  const query = pg.Client.prototype.query as (...args: any[]) => any
  vi.spyOn(pg.Client.prototype, 'query').mockImplementation(function (this: pg.Client, ...args: any[]) {
    const [asked, values] = args
    if (asked instanceof StatementGroup) {
      for (const sent of grouped.get(asked) ?? []) note(this, sent)
      return query.apply(this, args)
    }
    const text: string = typeof asked === 'string' ? asked : asked.text
    const sent: Sent = { text, values: values ?? asked.values ?? [], rows: [] }
    const answer = query.apply(this, args)
    if (answer instanceof Promise) answer.then(({ rows }) => { sent.rows = rows }, () => {})
    note(this, sent)
    return answer
  } as any)

  function note (client: pg.Client, sent: Sent): void {
    const word = /^\s*(\w+)/.exec(sent.text)?.[1]?.toLowerCase()
    if (word === 'begin') open.set(client, [])
    else if (word === 'commit' || word === 'rollback') {
      const transaction = open.get(client)
      open.delete(client)
      // A turn later the answers are there.
      if (transaction !== undefined && word === 'commit') setTimeout(() => judge(transaction), 100)
    } else open.get(client)?.push(sent)
  }

  function judge (transaction: Sent[]): void {
    const held = new Map<string, Set<string>>()
    const order: string[] = []
    let highest = -1
    for (const [i, sent] of transaction.entries()) {
      for (const { table, how } of locksOf(sent.text)) {
        const known = held.get(table) ?? new Set()
        held.set(table, known)
        const ids = idsOf(sent, how)
        if (how === 'creates') {
          // Users may have been there before: only what locks them holds them.
          if (table !== 'users') for (const id of ids) known.add(id)
          continue
        }
        const locking = how === 'locks'
        if (order.at(-1) !== table && !order.includes(table)) order.push(table)
        const rank = rankOf(table)
        const fresh = ids.filter(id => !known.has(id))
        const below = rank < highest && (locking ? fresh.length > 0 : !ids.some(id => known.has(id)))
        const behind = locking && rank < LAST && fresh.some(id => [...known].some(held => held > id))
        if (below || behind) {
          const before = transaction.slice(0, i + 1).map(({ text }) => text.replace(/\s+/g, ' ').slice(0, 150))
          record.violations.push(`${table} ${below ? 'late' : 'not by id'}:\n  ${before.join('\n  ')}`)
        }
        for (const id of ids) known.add(id)
        highest = Math.max(highest, rank)
      }
    }
    if (order.length > 0) record.orders.add(order.join(' > '))
  }
  return record
}

const WRITES = /(?<!for |key |do )\bupdate (?!set|of )(\w+)|insert into (\w+)|delete from (\w+)/g

/** `locks` returns the rows; `writes` names them among its values; `creates`: nobody else has them yet. */
type How = 'locks' | 'writes' | 'creates'

/** The tables whose rows a statement locks, in the order in which it names them. */
function locksOf (sql: string): Array<{ table: string, how: How }> {
  const text = sql.toLowerCase().replaceAll('"', '')
  const found: Array<{ at: number, table: string, how: How }> = []
  for (const match of text.matchAll(WRITES)) {
    const table = (match[1] ?? match[2] ?? match[3])!
    const creates = match[2] !== undefined && !text.includes('do update')
    found.push({ at: match.index, table, how: creates ? 'creates' : 'writes' })
  }
  for (const match of text.matchAll(/for (?:no key )?update(?: of (\w+))?/g)) {
    const before = text.slice(0, match.index)
    const tables = [...before.matchAll(/(?:from|join) (\w+)(?: (?:as )?(\w+))?/g)]
    const named = match[1] === undefined
      ? tables[0] // what comes later is in subqueries
      : tables.findLast(([, table, alias]) => alias === match[1] || table === match[1])
    const how = match[1] === undefined ? 'locks' : 'writes'
    found.push({ at: match.index, table: named?.[1] ?? '?', how })
  }
  return found.sort((a, b) => a.at - b.at)
}

const idsOf = ({ values, rows }: Sent, how: How): string[] => how === 'locks'
  ? rows.map(row => String((row as { id?: unknown, user_id?: unknown }).id ?? (row as any).user_id))
  : values.flat().filter(value => typeof value === 'string')
