/** A store that ends with the process: for tests, and where nothing may be kept. */
import { applyTo, emptyTables, type Store, type Tables } from './store.ts'

export function createMemoryStore (tables: Tables = emptyTables()): Store {
  return {
    async read () {
      const copies = Object.entries(tables).map(([table, rows]) => [table, new Map(rows)])
      return Object.fromEntries(copies) as Tables
    },
    async write (changes) { applyTo(tables, changes) },
    async close () {}
  }
}
