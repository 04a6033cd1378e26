import { stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { buildIfChanged } from '../build.js'

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
