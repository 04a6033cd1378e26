/** Sets of any size say the same to the database, whether they go as VALUES or as arrays. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openDatabase, type Database, type Executor } from '../../store/database.ts'
import { overSets } from '../../store/row-sets.ts'
import { createDatabase, type TestDatabase } from '../support/database.ts'

interface Thing { id: number, name: string | null, data: object, at: Date | null, done: boolean }

const columns = {
  id: ['int', (thing: Thing) => thing.id],
  name: ['text', (thing: Thing) => thing.name],
  data: ['jsonb', (thing: Thing) => JSON.stringify(thing.data)],
  at: ['timestamptz', (thing: Thing) => thing.at],
  done: ['boolean', (thing: Thing) => thing.done]
} as const
const PAIRS = overSets<[Thing, number]>({
  name: 'test_pairs',
  scalars: 1,
  sets: [{ alias: 't', columns: { ...columns } }, { alias: 'n', columns: { n: ['int', n => n] } }],
  text: (things, numbers) => `
    select t.id, t.name, t.data, t.at, t.done, n.n, $1::text as word
      from ${things}
      left join ${numbers} on n.n = t.id
     where t.id is not null
     order by t.id`
})

const thing = (id: number): Thing => ({
  id,
  name: id % 3 === 0 ? null : `it's "${id}", {a\\b}`,
  data: { list: [id, 'ü'] },
  at: id % 4 === 0 ? null : new Date(1_700_000_000_000 + id),
  done: id % 2 === 0
})
const things = (count: number): Thing[] => Array.from({ length: count }, (_, i) => thing(i + 1))

let server: TestDatabase
let database: Database
let prepared: string[]
/** Notes what is prepared. */
const noting = (db: Executor): Executor => ({
  rows (statement, values) {
    prepared.push(statement.name)
    return db.rows(statement, values)
  },
  get orm () { return db.orm }
})

beforeAll(async () => {
  server = await createDatabase()
  database = openDatabase(server.url)
})
afterAll(async () => {
  await database[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})

test.each([0, 1, 2, 3, 4, 5, 8, 9, 100])('every row of a set of %i comes as it is, and no other', async size => {
  prepared = []
  const found = await PAIRS(noting(database.autocommit), [things(size), [1, 9]], 'w')
  expect(found).toEqual(things(size).map(thing =>
    ({ ...thing, n: thing.id === 1 || thing.id === 9 ? thing.id : null, word: 'w' })))
})

test('few texts are prepared, whatever the sizes', async () => {
  prepared = []
  for (let size = 0; size < 40; size++) {
    await PAIRS(noting(database.autocommit), [things(size), things(size).map(({ id }) => id)], 'w')
  }
  expect([...new Set(prepared)]).toEqual(
    ['test_pairs_1_1', 'test_pairs_2_2', 'test_pairs_4_4', 'test_pairs_8_8', 'test_pairs_n_n']
  )
})
