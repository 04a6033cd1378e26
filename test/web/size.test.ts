import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { program } from '../support/programs.ts'

const PAGES = join(dirname(program('main')), 'web/dist')
const LIMIT_BYTES = 100_000

test.each(['index.html', 'console/index.html'])('%s and what it names take less than 100 KB with gzip', async page => {
  const html = await readFile(join(PAGES, page), 'utf8')
  const files = [...html.matchAll(/(?:src|href)="\/(assets\/[^"]+)"/g)].map(([, file]) => file!)
  expect(files.length).toBeGreaterThan(2)
  const contents = await Promise.all(files.map(file => readFile(join(PAGES, file))))
  const bytes = [Buffer.from(html), ...contents].reduce((sum, content) => sum + gzipSync(content).length, 0)
  expect(bytes).toBeLessThan(LIMIT_BYTES)
})
