/**
 * What a device keeps between two runs: tables of JSON values by key.
 *
 * A store belongs to one user on one device, and to one client at a time. Everything
 * that the client promises rests on `write`: all changes or none, and when it resolves they
 * survive the end of the process.
 */
export const TABLES = ['place', 'conversations', 'messages', 'outbox', 'drafts'] as const
export type Table = (typeof TABLES)[number]

export interface StoredChange {
  table: Table
  key: string
  /** Undefined: the key goes. */
  value?: unknown
}

export type Tables = Record<Table, Map<string, unknown>>

export interface Store {
  read (): Promise<Tables>
  write (changes: StoredChange[]): Promise<void>
  close (): Promise<void>
}

export const emptyTables = (): Tables =>
  Object.fromEntries(TABLES.map(table => [table, new Map()])) as unknown as Tables

export function applyTo (tables: Tables, changes: StoredChange[]): void {
  for (const { table, key, value } of changes) {
    if (value === undefined) tables[table].delete(key)
    else tables[table].set(key, value)
  }
}
