import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { afterEach, expect, test, vi } from 'vitest'
import { startEmbeddedPostgres } from '../../../store/embedded-postgres/start.ts'
import { isRunning, memoryLog, postmasterPid, query, scratchFolder, startOwner } from './scratch.ts'

afterEach(() => { vi.unstubAllEnvs() })

const { log } = memoryLog()
const hostOf = (url: string) => new URL(url.replace('@/', '@x/')).searchParams.get('host')!

test('a second start finds the data of the first, and a stop leaves no process, lock or socket', async () => {
  await using scratch = await scratchFolder('data')
  const dataDir = join(scratch.path, 'data')
  {
    await using first = await startEmbeddedPostgres({ dataDir, log })
    await query(first.url, "create table greeting as select 'hello' as word")
  }
  let pid: number
  {
    await using second = await startEmbeddedPostgres({ dataDir, log })
    expect(await query(second.url, 'select word from greeting')).toEqual([{ word: 'hello' }])
    pid = (await postmasterPid(dataDir))!
    expect(await isRunning(pid)).toBe(true)
  }
  expect(await isRunning(pid)).toBe(false)
  expect((await readdir(dataDir)).sort()).toEqual(['postgres', 'postgres.log'])
})

test('the server is durable, speaks UTF-8, knows Unicode letters and listens on no TCP port', async () => {
  await using scratch = await scratchFolder('data')
  const dataDir = join(scratch.path, 'data')
  await using server = await startEmbeddedPostgres({ dataDir, log })
  const names = ['fsync', 'synchronous_commit', 'max_connections', 'listen_addresses', 'server_encoding']
  const columns = names.map(name => `current_setting('${name}') as ${name}`).join(', ')
  expect(
    await query(server.url, `select ${columns}, upper('é') as letter, current_database() as database`)
  ).toEqual([{
    fsync: 'on',
    synchronous_commit: 'on',
    max_connections:
      '100',
    listen_addresses: '',
    server_encoding: 'UTF8',
    letter: 'É',
    database: 'echo'
  }])
  expect((await stat(hostOf(server.url))).mode & 0o777).toBe(0o700)
})

test('a folder whose name needs quoting, in settings and in URLs, serves as well as any', async () => {
  await using scratch = await scratchFolder("a b, 'c' 100% \"d\" é #&+?=")
  await using server =
    await startEmbeddedPostgres({ dataDir: join(scratch.path, "a b, 'c' 100% \"d\" é #&+?="), log })
  expect(await query(server.url, 'select 1 as one')).toEqual([{ one: 1 }])
})

test('a path too long for a socket moves the socket to a private folder of its own, removed at the end', async () => {
  await using scratch = await scratchFolder(`${'long/'.repeat(20)}data`)
  const server = await startEmbeddedPostgres({ dataDir: join(scratch.path, 'long/'.repeat(20), 'data'), log })
  const folder = hostOf(server.url)
  try {
    expect(dirname(folder)).toBe(tmpdir())
    expect(basename(folder)).toMatch(/^echo-[0-9a-f]{16}$/)
    expect((await stat(folder)).mode & 0o777).toBe(0o700)
    expect(await query(server.url, 'select 1 as one')).toEqual([{ one: 1 }])
  } finally {
    await server[Symbol.asyncDispose]()
  }
  expect(existsSync(folder)).toBe(false)
})

test('the PG variables of the environment change nothing', async () => {
  await using scratch = await scratchFolder('data')
  for (const [name, value] of Object.entries({
    PGPORT: '1', PGSSLMODE: 'require', PGDATABASE: 'none', PGHOST: 'none.invalid', PGDATA: '/none'
  })) {
    vi.stubEnv(name, value)
  }
  await using server = await startEmbeddedPostgres({ dataDir: join(scratch.path, 'data'), log })
  expect(await query(server.url, 'select current_database() as database')).toEqual([{ database: 'echo' }])
})

test('an error of a statement puts nothing into the log file, and each start begins it anew', async () => {
  await using scratch = await scratchFolder('data')
  const dataDir = join(scratch.path, 'data')
  const readLog = async () => await readFile(join(dataDir, 'postgres.log'), 'utf8')
  {
    await using first = await startEmbeddedPostgres({ dataDir, log })
    await expect(query(first.url, "select 'a secret'::int")).rejects.toThrow('invalid input syntax')
    expect(await readLog()).not.toContain('a secret')
  }
  const before = await readLog()
  expect(before).toContain('shut down')
  await using second = await startEmbeddedPostgres({ dataDir, log })
  expect(second.url).toContain('echo')
  expect(await readLog()).not.toContain(before.trimEnd().split('\n').at(-1))
})

test('Ctrl-C on the terminal does not reach the server', async () => {
  await using scratch = await scratchFolder('data')
  const dataDir = join(scratch.path, 'data')
  await using owner = startOwner(dataDir)
  const { url } = await owner.next()
  const pid = await postmasterPid(dataDir)
  process.kill(-owner.pid, 'SIGINT')
  expect(await owner.next()).toEqual({ interrupted: true })
  expect(await query(url!, 'select 1 as one')).toEqual([{ one: 1 }])
  expect(await postmasterPid(dataDir)).toBe(pid)
  await owner.kill('SIGTERM')
  expect(await isRunning(pid!)).toBe(false)
})

test('a folder called postgres that is no data directory is left as it is', async () => {
  await using scratch = await scratchFolder()
  await mkdir(join(scratch.path, 'postgres/diary'), { recursive: true })
  await expect(startEmbeddedPostgres({ dataDir: scratch.path, log })).rejects.toThrow('is in the way')
  expect(existsSync(join(scratch.path, 'postgres/diary'))).toBe(true)
  expect(existsSync(join(scratch.path, 'owner.lock'))).toBe(false)
})
