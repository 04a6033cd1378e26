import { existsSync } from 'node:fs'
import { appendFile, chmod } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import pg from 'pg'
import { startEmbeddedPostgres } from '../../../store/embedded-postgres/start.ts'
import { isRunning, memoryLog, postmasterPid, query, scratchFolder } from './scratch.ts'

const WAIT = { timeout: 60_000, interval: 20 }

test('a server that is killed runs again under the same URL, also with a backend deep in a statement', async () => {
  await using scratch = await scratchFolder('data')
  const dataDir = join(scratch.path, 'data')
  const { log, lines } = memoryLog()
  await using server = await startEmbeddedPostgres({ dataDir, log })
  await query(server.url, "create table greeting as select 'hello' as word")
  const busy = query(server.url, 'select sum(sqrt(n)) from generate_series(1, 4000000) n').catch(() => {})
  await vi.waitFor(async () => {
    expect(await query(
      server.url, "select 1 as one from pg_stat_activity where query like 'select sum%' and state = 'active'"
    )).toEqual([{ one: 1 }])
  }, WAIT)

  process.kill((await postmasterPid(dataDir))!, 'SIGKILL')
  await vi.waitFor(async () => {
    expect(lines.map(({ level, msg }) => [level, msg])).toContainEqual([30, 'PostgreSQL runs again'])
  }, WAIT)
  expect(await query(server.url, 'select word from greeting')).toEqual([{ word: 'hello' }])
  expect(lines).toContainEqual(expect.objectContaining({
    level: 50, msg: 'PostgreSQL ended unexpectedly and is started again', end: 'SIGKILL'
  }))
  await busy
})

test('a server that cannot be started again is tried until the stop, which leaves no lock', async () => {
  await using scratch = await scratchFolder('data')
  const dataDir = join(scratch.path, 'data')
  const { log, lines } = memoryLog()
  const server = await startEmbeddedPostgres({ dataDir, log })
  await appendFile(join(dataDir, 'postgres/postgresql.conf'), 'no_such_setting = 1\n')
  process.kill((await postmasterPid(dataDir))!, 'SIGKILL')
  await vi.waitFor(() => {
    expect(lines.filter(({ msg }) => msg === 'PostgreSQL could not be started again').length).toBeGreaterThan(
      1
    )
  }, WAIT)
  await server[Symbol.asyncDispose]()
  expect(existsSync(join(dataDir, 'owner.lock'))).toBe(false)
})

test.for([
  ['a broken configuration', 'no_such_setting', async (cluster: string) =>
    await appendFile(join(cluster, 'postgresql.conf'), 'no_such_setting = 1\n')],
  ['wrong permissions', 'invalid permissions', async (cluster: string) => await chmod(cluster, 0o755)]
] as const)('a start that fails for %s says why, in the words of PostgreSQL, and leaves no process and no lock', async (
  [, words, spoil]
) => {
  await using scratch = await scratchFolder('data')
  const dataDir = join(scratch.path, 'data')
  const { log } = memoryLog()
  await (await startEmbeddedPostgres({ dataDir, log }))[Symbol.asyncDispose]()
  await spoil(join(dataDir, 'postgres'))
  await expect(startEmbeddedPostgres({ dataDir, log })).rejects.toThrow(words)
  expect(await postmasterPid(dataDir)).toBeUndefined()
  expect(existsSync(join(dataDir, 'owner.lock'))).toBe(false)
})

test('a stop that a frozen backend holds up ends all the same', async () => {
  await using scratch = await scratchFolder('data')
  const dataDir = join(scratch.path, 'data')
  const server = await startEmbeddedPostgres({ dataDir, log: memoryLog().log, fastShutdownMs: 500 })
  const pid = (await postmasterPid(dataDir))!
  const client = new pg.Client({ connectionString: server.url })
  client.on('error', () => {})
  await client.connect()
  process.kill((await client.query('select pg_backend_pid() as pid')).rows[0].pid, 'SIGSTOP')

  await server[Symbol.asyncDispose]()
  expect(await isRunning(pid)).toBe(false)
  expect(existsSync(join(dataDir, 'owner.lock'))).toBe(false)
  await client.end()
})
