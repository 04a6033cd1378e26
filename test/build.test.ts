import { execFile } from 'node:child_process'
import { readdir, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { buildIfChanged } from '../build.js'

const run = promisify(execFile)
const ROOT = join(import.meta.dirname, '..')
const builtAt = async (): Promise<number> => (await stat(join(ROOT, 'dist/main.js'))).mtimeMs

test('what `npm start` runs is built anew when a source has changed, and only then', async () => {
  await buildIfChanged()
  const first = await builtAt()
  await buildIfChanged()
  expect(await builtAt()).toBe(first)
  await utimes(join(ROOT, 'core/topics.ts'), new Date(), new Date())
  await buildIfChanged()
  expect(await builtAt()).toBeGreaterThan(first)
})

test('processes that start at the same time build beside each other', async () => {
  const builds = Array.from({ length: 6 }, () =>
    run(process.execPath, ['-e', "import('./build.js').then(({ build }) => build())"], { cwd: ROOT }))
  await Promise.all(builds)
  expect((await readdir(ROOT)).filter(name => name.startsWith('.dist-'))).toEqual([])
})
