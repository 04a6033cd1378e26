import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { startEmbeddedPostgres } from '../../../store/embedded-postgres/start.ts'
import { isRoot, isRunning, memoryLog, postmasterPid, query, scratchFolder, startOwner } from './scratch.ts'

const WAIT = { timeout: 60_000, interval: 10 }
const { log } = memoryLog()

test('a folder whose owner was killed is taken over: its orphaned server is stopped, its data is there', async () => {
  await using scratch = await scratchFolder('data')
  const dataDir = join(scratch.path, 'data')
  await using owner = startOwner(dataDir)
  const { url } = await owner.next()
  await query(url!, "create table greeting as select 'hello' as word")
  const orphan = (await postmasterPid(dataDir))!
  await owner.kill('SIGKILL')
  expect(await isRunning(orphan)).toBe(true)

  await using server = await startEmbeddedPostgres({ dataDir, log })
  expect(await isRunning(orphan)).toBe(false)
  expect(await query(server.url, 'select word from greeting')).toEqual([{ word: 'hello' }])
})

test('a folder whose owner and server were both killed is taken over, also from a backend deep in a statement', async () => {
  await using scratch = await scratchFolder('data')
  const dataDir = join(scratch.path, 'data')
  await using owner = startOwner(dataDir)
  const { url } = await owner.next()
  await query(url!, "create table greeting as select 'hello' as word")
  const busy = query(url!, 'select sum(sqrt(n)) from generate_series(1, 4000000) n').catch(() => {})
  await vi.waitFor(async () => {
    expect(await query(
      url!, "select 1 as one from pg_stat_activity where query like 'select sum%' and state = 'active'"
    )).toEqual([{ one: 1 }])
  }, WAIT)
  process.kill(owner.pid, 'SIGSTOP')
  process.kill((await postmasterPid(dataDir))!, 'SIGKILL')
  await owner.kill('SIGKILL')

  await using server = await startEmbeddedPostgres({ dataDir, log })
  expect(await query(server.url, 'select word from greeting')).toEqual([{ word: 'hello' }])
  await busy
})

test('a server in another folder is left alone by a take-over', async () => {
  await using scratch = await scratchFolder('data', 'data-2')
  await using neighbour = await startEmbeddedPostgres({ dataDir: join(scratch.path, 'data-2'), log })
  const pid = await postmasterPid(join(scratch.path, 'data-2'))
  await using owner = startOwner(join(scratch.path, 'data'))
  await owner.next()
  await owner.kill('SIGKILL')

  await using server = await startEmbeddedPostgres({ dataDir: join(scratch.path, 'data'), log })
  expect(server.url).not.toBe(neighbour.url)
  expect(await postmasterPid(join(scratch.path, 'data-2'))).toBe(pid)
  expect(await query(neighbour.url, 'select 1 as one')).toEqual([{ one: 1 }])
})

test('a stranger who has got the pid of a dead server is not signalled and not in the way', async () => {
  await using scratch = await scratchFolder('data')
  const dataDir = join(scratch.path, 'data')
  const first = await startEmbeddedPostgres({ dataDir, log })
  const pidFile = await readFile(join(dataDir, 'postgres/postmaster.pid'), 'utf8')
  await first[Symbol.asyncDispose]()

  // Of the same user, so that PostgreSQL itself would believe in it.
  const stranger = isRoot
    ? spawn('setpriv', ['--reuid=nobody', '--clear-groups', 'sleep', '60'])
    : spawn('sleep', ['60'])
  try {
    await writeFile(
      join(dataDir, 'postgres/postmaster.pid'), pidFile.replace(/^\d+/, String(stranger.pid)), { mode: 0o644 }
    )
    await using server = await startEmbeddedPostgres({ dataDir, log })
    expect(await query(server.url, 'select 1 as one')).toEqual([{ one: 1 }])
    expect(await isRunning(stranger.pid!)).toBe(true)
  } finally {
    stranger.kill('SIGKILL')
  }
})

test('of two processes that start in the same dead folder one serves, the other names it and DATA_DIR', async () => {
  await using scratch = await scratchFolder('data')
  const dataDir = join(scratch.path, 'data')
  await using dead = startOwner(dataDir)
  await dead.next()
  await dead.kill('SIGKILL')

  await using one = startOwner(dataDir)
  await using two = startOwner(dataDir)
  const answers = [{ ...await one.next(), pid: one.pid }, { ...await two.next(), pid: two.pid }]
  const winner = answers.find(answer => answer.url)!
  const loser = answers.find(answer => answer.error)!
  expect(loser.error).toContain(`process ${winner.pid}`)
  expect(loser.error).toContain('DATA_DIR')
  expect(await query(winner.url!, 'select 1 as one')).toEqual([{ one: 1 }])
})

test('a start killed in the middle of initdb does not block the next, which clears its traces away', async () => {
  await using scratch = await scratchFolder('data')
  const dataDir = join(scratch.path, 'data')
  await using owner = startOwner(dataDir)
  await vi.waitFor(async () => {
    const unfinished = (await readdir(dataDir)).find(name => name.startsWith('postgres.initdb-'))
    expect(existsSync(join(dataDir, unfinished!, 'base/1'))).toBe(true)
  }, WAIT)
  await owner.kill('SIGKILL')
  expect(existsSync(join(dataDir, 'postgres'))).toBe(false)

  await using server = await startEmbeddedPostgres({ dataDir, log })
  expect(await query(server.url, 'select 1 as one')).toEqual([{ one: 1 }])
  expect((await readdir(dataDir)).sort()).toEqual(['owner.lock', 'postgres', 'postgres.log', 'socket'])
})
