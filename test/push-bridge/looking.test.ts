/** What a bridge asks the database for while little is due. */
import { expect, test } from 'vitest'
import { type Database } from '../../store/database.ts'
import { until } from '../support/until.ts'
import { createWorld, recordingSender, type World } from './world.ts'

/** The database, and the names of the statements that go through it outside of transactions. */
function listening ({ database }: World): { database: Database, asked: string[] } {
  const asked: string[] = []
  const autocommit = new Proxy(database.autocommit, {
    get (db, key) {
      const value = Reflect.get(db, key) as unknown
      if (typeof value !== 'function') return value
      return (...args: unknown[]) => {
        if (key === 'rows') asked.push((args[0] as { name: string }).name)
        return value.apply(db, args) as unknown
      }
    }
  })
  return {
    asked,
    database: new Proxy(database, {
      get: (all, key) => key === 'autocommit' ? autocommit : Reflect.get(all, key) as unknown
    })
  }
}

const looks = (asked: string[]): number => asked.filter(name => name === 'push_due_next').length

test('a bridge with nothing to do looks, and claims nothing', async () => {
  await using world = await createWorld()
  const { database, asked } = listening(world)
  await world.bridge(recordingSender(), { database })
  asked.length = 0
  await until(() => looks(asked) >= 30, 'it has looked for a while')
  expect(asked.filter(name => name === 'push_due_claim')).toEqual([])
  // It looks for silent pushes by itself, too, every tenth time.
  expect(asked.filter(name => name === 'push_reads_claim').length).toBeLessThanOrEqual(looks(asked) / 10 + 1)
})

test('a silent push is claimed when a look has found it', async () => {
  await using world = await createWorld()
  await world.phone('ben')
  const { database, asked } = listening(world)
  await world.bridge(recordingSender(), { database, options: { pollMs: 100 } })
  await until(() => asked.includes('push_reads_claim'), 'it has looked for silent pushes once')
  asked.length = 0
  await world.sql('insert into push_reads (user_id, due_at) values ($1, now())', 'ben')
  await until(async () => (await world.sql('select 1 from push_reads')).length === 0, 'it is done')
  expect(looks(asked)).toBeLessThan(6)
})
