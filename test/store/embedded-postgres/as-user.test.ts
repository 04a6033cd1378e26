import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chown, cp, lstat, mkdir, realpath, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, expect, test, vi } from 'vitest'
import { spawnerForPostgres } from '../../../store/embedded-postgres/as-user.ts'
import { findBinaries, linkLibraries } from '../../../store/embedded-postgres/binaries.ts'
import { ensureCluster } from '../../../store/embedded-postgres/cluster.ts'
import { startPostmaster } from '../../../store/embedded-postgres/postmaster.ts'
import { makeSocketFolder, urlOf } from '../../../store/embedded-postgres/socket-folder.ts'
import { startEmbeddedPostgres } from '../../../store/embedded-postgres/start.ts'
import { isRoot, memoryLog, NOBODY, postmasterPid, query, scratchFolder, startOwner } from './scratch.ts'

afterEach(() => { vi.unstubAllEnvs() })

const { log } = memoryLog()
const AS_ORDINARY_USER =
  ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups', '--inh-caps=-all', '--']
const script = fileURLToPath(new URL('owner.ts', import.meta.url))
const readableByAll = isRoot &&
  spawnSync(AS_ORDINARY_USER[0]!, [...AS_ORDINARY_USER.slice(1), 'test', '-r', script]).status === 0

test.skipIf(!isRoot)('root runs the server as nobody, below a folder that only root can enter', async () => {
  await using scratch = await scratchFolder('data')
  expect(await stat(scratch.path)).toMatchObject({ uid: 0, mode: 0o40700 })
  const dataDir = join(scratch.path, 'data')
  await using server = await startEmbeddedPostgres({ dataDir, log })
  expect((await stat(`/proc/${await postmasterPid(dataDir)}`)).uid).toBe(NOBODY)
  expect((await stat(join(dataDir, 'postgres'))).uid).toBe(NOBODY)
  expect(await query(server.url, 'select 1 as one')).toEqual([{ one: 1 }])
})

test('programs below a private folder, their libraries not yet linked, serve as well', async () => {
  await using scratch = await scratchFolder('.')
  const original = resolve(dirname((await findBinaries()).postgres), '../..')
  await cp(original, join(
    scratch.path, 'package'
  ), { recursive: true, filter: async path => !(await lstat(path)).isSymbolicLink() })
  const program = (name: string) => join(scratch.path, 'package/native/bin', name)
  expect(spawnSync(program('initdb'), ['--version']).status).not.toBe(0)
  await linkLibraries(join(scratch.path, 'package'))

  const spawn = await spawnerForPostgres()
  const logFile = join(scratch.path, 'postgres.log')
  const cluster =
    await ensureCluster({ folder: scratch.path, initdb: program('initdb'), spawn, logFile, log })
  const socketFolder = await makeSocketFolder(scratch.path)
  const server = await startPostmaster({
    postgres: program('postgres'), spawn, cluster, socketFolder, database: 'echo', logFile, log
  })
  expect(await query(urlOf(socketFolder, 'echo'), 'select 1 as one')).toEqual([{ one: 1 }])
  await server.stop()
})

test.skipIf(!readableByAll)('an ordinary user runs the server as itself', async () => {
  await using scratch = await scratchFolder('data')
  await chown(scratch.path, NOBODY, NOBODY)
  const dataDir = join(scratch.path, 'data')
  await using owner = startOwner(dataDir, AS_ORDINARY_USER)
  const { url, error } = await owner.next()
  expect(error).toBeUndefined()
  expect(await query(url!, 'select 1 as one')).toEqual([{ one: 1 }])
  expect((await stat(`/proc/${await postmasterPid(dataDir)}`)).uid).toBe(NOBODY)
  await owner.kill('SIGTERM')
  expect(await postmasterPid(dataDir)).toBeUndefined()
  expect(existsSync(join(dataDir, 'owner.lock'))).toBe(false)
})

test.skipIf(!isRoot)('root without setpriv is told the ways out', async () => {
  await using scratch = await scratchFolder('data')
  vi.stubEnv('PATH', scratch.path)
  const start = startEmbeddedPostgres({ dataDir: join(scratch.path, 'data'), log })
  await expect(start).rejects.toThrow('ordinary user')
  await expect(start).rejects.toThrow('util-linux')
  await expect(start).rejects.toThrow('DATABASE_URL')
})

test.skipIf(!isRoot)('root without the capabilities is told the ways out', async () => {
  await using scratch = await scratchFolder('data')
  await mkdir(join(scratch.path, 'data'))
  await using owner =
    startOwner(await realpath(join(scratch.path, 'data')), ['setpriv', '--bounding-set=-setpcap', '--'])
  expect((await owner.next()).error).toMatch(/CAP_SETPCAP.*ordinary user.*DATABASE_URL/)
})
