/**
 * A store whose process may die: from then on nothing is read or written, and nobody hears of what
 * was under way. What was written before is there for the next one.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { createMemoryStore } from '../../../client/index.ts'
import { emptyTables, type Store, type Tables } from '../../../client/store/store.ts'

export interface MortalStore extends Store {
  die (): void
  /** Dies at the write after so many; `done`: that one has been made. */
  dieAtWrite (writes: number, done: boolean): void
  /** Resolves when it dies. */
  death: Promise<void>
}

/** As a disk takes it, and long enough for something to happen meanwhile. */
const SLOWEST_MS = 4

/** Where the memory of a device lies, whoever uses it. */
export interface Disk {
  tables: Tables
  open (): MortalStore
}

export function createDisk (): Disk {
  let tables = emptyTables()
  return {
    get tables () { return tables },
    open () {
      // Values go through JSON, as in every store that outlives a process.
      tables = reread(tables)
      return mortal(createMemoryStore(tables))
    }
  }
}

const reread = (tables: Tables): Tables =>
  Object.fromEntries(Object.entries(tables).map(([table, rows]) =>
    [table, new Map(JSON.parse(JSON.stringify([...rows])))])) as Tables

function mortal (store: Store): MortalStore {
  let dead = false
  let left = Infinity
  let lastIsDone = false
  let tell = (): void => {}
  const death = new Promise<void>(resolve => { tell = resolve })
  const die = (): void => {
    dead = true
    tell()
  }
  const never = (): Promise<never> => new Promise<never>(() => {})
  return {
    death,
    die,
    dieAtWrite (writes, done) {
      left = writes
      lastIsDone = done
    },
    read: () => dead ? never() : store.read(),
    async write (changes) {
      await sleep(Math.random() * SLOWEST_MS)
      if (dead) return await never()
      if (left-- > 0) return await store.write(changes)
      if (lastIsDone) await store.write(changes)
      die()
      return await never()
    },
    close: () => dead ? never() : store.close()
  }
}
