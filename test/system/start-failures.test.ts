/** What a person reads whose database does not let Echo in: one line, and no wait that heals nothing. */
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import pino from 'pino'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Opened } from '../../lifecycle.ts'
import { reasonOf } from '../../start-failures.ts'
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../../store/embedded-postgres/start.ts'
import { prepareRedis } from '../chaos/redis.ts'
import { runCommand } from '../support/command.ts'
import { createDatabase, databaseUrl, runSql } from '../support/database.ts'
import { scratchFolder, spawnEcho } from '../support/echo-process.ts'

let server: EmbeddedPostgres
let folder: Awaited<ReturnType<typeof scratchFolder>>

/** A server that asks one user for a password. */
beforeAll(async () => {
  folder = await scratchFolder()
  server = await startEmbeddedPostgres({ dataDir: folder.path, log: pino({ level: 'silent' }) })
  await runSql(server.url, "create role guarded login password 'right'")
  const client = new pg.Client({ connectionString: server.url })
  await client.connect()
  const { rows: [{ hba_file: file }] } = await client.query('show hba_file')
  await writeFile(file, 'local all guarded scram-sha-256\nlocal all all trust\n')
  await client.query('select pg_reload_conf()')
  await client.end()
})
afterAll(async () => {
  await server[Symbol.asyncDispose]()
  await folder[Symbol.asyncDispose]()
})

const as = (user: string): string => server.url.replace('postgres@', `${user}@`)

test.for([
  ['a wrong password', () => as('guarded:wrong'), /password authentication failed for user "guarded"/],
  ['no password', () => as('guarded'), /the server asks for a password, and DATABASE_URL has none/],
  ['a missing database', () => databaseUrl(server.url, 'nowhere'), /"nowhere" does not exist.*npm run migrate/]
] as const)('%s ends the start, and a migration, with the cause in one line', async ([, url, cause]) => {
  for (const output of [await failedStart({ DATABASE_URL: url() }), await failedMigration(url())]) {
    const lines = output.split('\n').filter(line => line !== '' && !line.startsWith('{'))
    expect(lines).toEqual([expect.stringMatching(cause)])
    expect(lines[0]).toContain('DATABASE_URL')
  }
})

test('a database that is not migrated ends the start with the command', async () => {
  expect(await failedStart({ DATABASE_URL: databaseUrl(server.url, 'postgres') }))
    .toContain('run `npm run migrate`')
})

test('a schema that is newer than the code stops the start and a migration', async () => {
  await using database = await createDatabase()
  await runSql(
    database.url, "insert into drizzle.__drizzle_migrations (hash, created_at) values ('x', 9999999999999)"
  )
  expect(await failedStart({ DATABASE_URL: database.url })).toMatch(/Echo did not start: the schema .* is newer than this version/)
  expect(await failedMigration(database.url)).toMatch(/^the schema .* is newer than this version/)
})

test('a schema that is older than the code stops the start with the command', async () => {
  await using database = await createDatabase()
  await runSql(
    database.url,
    'delete from drizzle.__drizzle_migrations where id = (select max(id) from drizzle.__drizzle_migrations)'
  )
  expect(await failedStart({ DATABASE_URL: database.url }))
    .toMatch(/Echo did not start: the schema .* is older than this version .*run `npm run migrate`/)
})

test.for([
  ['a wrong password', ':wrong@', '', /WRONGPASS .*\(the password in it is wrong/],
  ['no password', '', '', /NOAUTH .*\(the server asks for a password, and REDIS_URL has none\)/],
  ['a number of no database', ':right@', '/99', /DB index is out of range/]
] as const)('%s for Redis ends the start with the cause in one line', async ([, user, path, cause]) => {
  await using opened = new Opened()
  const { path: data } = await opened.add(scratchFolder())
  const redis = await prepareRedis(data, join(data, 'redis.log'), () => {}, ['--requirepass', 'right'])
  await redis.start()
  await opened.add({ async [Symbol.asyncDispose] () { await redis.stop() } })
  const database = await opened.add(createDatabase())
  const output = await failedStart({
    DATABASE_URL: database.url, REDIS_URL: `${redis.url.replace('//', `//${user}`)}${path}`
  })
  const lines = output.split('\n').filter(line => line !== '' && !line.startsWith('{'))
  expect(lines).toEqual([expect.stringMatching(cause)])
  expect(lines[0]).toContain('REDIS_URL: ')
  expect(lines[0]).not.toMatch(/wrong@/)
})

test('a user who may not migrate learns what is needed', async () => {
  expect(await failedMigration(as('guarded:right'))).toMatch(
    /^DATABASE_URL: permission denied for database.*create schemas and the extension btree_gin/
  )
})

test('a migration does not wait for a server that is away, and names the variable', async () => {
  expect(await failedMigration('postgres://localhost:1/echo')).toMatch(/^DATABASE_URL: connect ECONNREFUSED.*\n$/)
})

test('a server without btree_gin is told from other failures', () => {
  const refusal = new pg.DatabaseError('extension "btree_gin" is not available', 0, 'error')
  expect(reasonOf(new Error('Failed query: CREATE EXTENSION', { cause: refusal })))
    .toMatch(/^DATABASE_URL: .*Echo needs btree_gin, which comes with the contrib modules/)
})

test('a bug keeps its stack', () => {
  expect(reasonOf(new TypeError('x is not a function'))).toMatch(/x is not a function\n {4}at /)
})

async function failedStart (env: NodeJS.ProcessEnv): Promise<string> {
  await using data = await scratchFolder()
  const { child, output } = spawnEcho({ dataDir: data.path, env })
  const [code] = await once(child, 'close')
  expect(code, output()).toBe(1)
  return output()
}

async function failedMigration (url: string): Promise<string> {
  const { code, output } =
    await runCommand('migrate', { folder: folder.path, env: { DATABASE_URL: url } })
  expect(code, output).toBe(1)
  return output
}
