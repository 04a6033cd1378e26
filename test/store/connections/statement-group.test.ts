/** Statements that share one Sync: answered each for itself, failing together. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import pg from 'pg'
import { type Statement } from '../../../store/database.ts'
import { StatementGroup } from '../../../store/connections/statement-group.ts'
import { createDatabase, type TestDatabase } from '../../support/database.ts'

const types = { getTypeParser: pg.types.getTypeParser } as pg.CustomTypesConfig
const statement = (name: string, text: string): Statement => ({ name, text })
const ECHO = statement('echo', 'select $1::int as n, $2::text[] as words, $3::timestamptz as at')
const INSERT = statement('insert', 'insert into numbers (n) values ($1)')
const COUNT = statement('count', 'select count(*)::int as count from numbers')
const DIVIDE = statement('divide', 'select 1 / $1::int as quotient')

let database: TestDatabase
let client: pg.Client

beforeAll(async () => {
  database = await createDatabase()
  client = new pg.Client({ connectionString: database.url })
  client.on('error', () => {})
  await client.connect()
  await client.query('create table numbers (n int primary key)')
})
afterAll(async () => {
  await client.end()
  await database[Symbol.asyncDispose]()
})
beforeEach(() => client.query('truncate numbers'))

type Answer = PromiseSettledResult<object[]>

async function run (...statements: Array<[Statement, unknown[]]>): Promise<Answer[]> {
  const group = new StatementGroup(types)
  const rows = statements.map(([statement, values]) => group.add(statement, values))
  client.query(group)
  return await Promise.allSettled(rows)
}
const rowsOf = (results: Answer[]): unknown[] =>
  results.map(result => result.status === 'fulfilled' ? result.value : result.reason.message)

test('each is answered with its own rows, prepared once, described once, with one Sync', async () => {
  const at = new Date('2026-01-02T03:04:05.678Z')
  const { connection } = client as unknown as { connection: pg.Connection }
  const seen: string[] = []
  for (const event of ['readyForQuery', 'parseComplete', 'rowDescription']) {
    connection.on(event, () => { seen.push(event) })
  }
  for (let i = 0; i < 2; i++) {
    const results =
      await run([INSERT, [i]], [ECHO, [7, ['a', 'b"c'], at]], [COUNT, []], [ECHO, [null, [], null]])
    expect(rowsOf(results)).toEqual([
      [], [{ n: 7, words: ['a', 'b"c'], at }], [{ count: i + 1 }], [{ n: null, words: [], at: null }]
    ])
  }
  const count = (event: string): number => seen.filter(name => name === event).length
  expect([count('readyForQuery'), count('parseComplete')]).toEqual([2, 3])
  expect(count('rowDescription')).toBe(3) // twice for the one that came twice in the first group
})

test('what fails makes all fail, changes nothing, and can be asked for again', async () => {
  const later = statement('later', 'select 1 as one')
  const failed = await run([INSERT, [1]], [DIVIDE, [0]], [later, []])
  expect(rowsOf(failed)).toEqual(['division by zero', 'division by zero', 'division by zero'])
  expect(rowsOf(await run([COUNT, []], [DIVIDE, [1]], [later, []]))).toEqual([
    [{ count: 0 }], [{ quotient: 1 }], [{ one: 1 }]
  ])
})

test('a value that cannot be sent is said to be one, and the connection goes on', async () => {
  const circular: Record<string, unknown> = {}
  circular.self = circular
  const results = await run([INSERT, [1]], [ECHO, [1, circular, null]])
  expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  expect(rowsOf(results)[0]).toMatch(/circular/)
  expect(rowsOf(await run([ECHO, [1, ['a'], null]]))).toEqual([[{ n: 1, words: ['a'], at: null }]])
})

test('what the server does not answer in time, or not any more, is rejected', async () => {
  const slow = new pg.Client({ connectionString: database.url, query_timeout: 100 })
  slow.on('error', () => {})
  await slow.connect()
  const group = new StatementGroup(types)
  const rows = group.add(statement('sleep', 'select pg_sleep(30)'), [])
  slow.query(group)
  await expect(rows).rejects.toThrow('Query read timeout')
  const ending = new StatementGroup(types)
  const { processID } = client as unknown as { processID: number }
  const killed = ending.add(statement('kill', 'select pg_terminate_backend($1)'), [
    (slow as unknown as { processID: number }).processID
  ])
  client.query(ending)
  expect(await killed).toEqual([{ pg_terminate_backend: true }])
  await slow.end()
  const own = new StatementGroup(types)
  const gone = own.add(statement('kill', 'select pg_terminate_backend($1)'), [processID])
  client.query(own)
  await expect(gone).rejects.toThrow(/terminat/)
})
