/** A store in the browser: one database, one object store for each table, flushed with each write. */
import { deleteDB, openDB, type IDBPDatabase } from 'idb'
import { TABLES, type Store, type Table, type Tables } from './store.ts'

type Schema = Record<Table, { key: string, value: any }>

/** One client at a time: who opens it holds a lock, see browser.ts. */
export async function openIndexedDbStore (name: string): Promise<Store> {
  const database: IDBPDatabase<Schema> = await openDB<Schema>(name, 1, {
    upgrade (fresh) { for (const table of TABLES) fresh.createObjectStore(table) },
    // Somebody deletes it: holding on would block them for ever.
    blocking () { database.close() }
  })
  return {
    async read () {
      const transaction = database.transaction(TABLES, 'readonly')
      const rows = await Promise.all(TABLES.map(async table => {
        const objects = transaction.objectStore(table)
        const [keys, values] = await Promise.all([objects.getAllKeys(), objects.getAll()])
        return [table, new Map(keys.map((key, i) => [key, values[i]]))] as const
      }))
      return Object.fromEntries(rows) as unknown as Tables
    },
    async write (changes) {
      const transaction = database.transaction(TABLES, 'readwrite', { durability: 'strict' })
      // Requests that fail abort the transaction, which `done` tells.
      for (const { table, key, value } of changes) {
        const objects = transaction.objectStore(table)
        const request = value === undefined ? objects.delete(key) : objects.put(value, key)
        request.catch(() => {})
      }
      await transaction.done
    },
    async close () { database.close() }
  }
}

export const deleteIndexedDbStore = (name: string): Promise<void> => deleteDB(name)
