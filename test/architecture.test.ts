import { readdir, readFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { expect, test } from 'vitest'

const ROOT = new URL('..', import.meta.url).pathname
const ROOMS = ['core', 'store', 'messaging', 'broker', 'api', 'push-bridge', 'migrations']

/** Which rooms each room may import from, besides itself. */
const ARROWS: Record<string, string[]> = {
  core: [],
  migrations: [],
  store: ['core', 'migrations'],
  messaging: ['store', 'core', 'migrations'],
  broker: ['messaging', 'store', 'core', 'migrations'],
  api: ['messaging', 'store', 'core'],
  'push-bridge': ['messaging', 'store', 'core']
}
const JUNK_DRAWERS = /^(utils?|helpers?|common|shared|lib|types|interfaces|constants)$/

test('imports follow the arrows: doors know messaging, not each other', async () => {
  const wrong: string[] = []
  for (const room of ROOMS) {
    for (const file of await sources(room)) {
      for (const target of imports(await readFile(join(ROOT, file), 'utf8'))) {
        const imported = relative(ROOT, join(ROOT, dirname(file), target)).split('/')[0]!
        if (imported !== room && !ARROWS[room]!.includes(imported)) wrong.push(`${file} imports ${target}`)
      }
    }
  }
  expect(wrong).toEqual([])
})

test('of migrations, other rooms use the schema only', async () => {
  const wrong: string[] = []
  for (const room of ROOMS.filter(name => name !== 'migrations')) {
    for (const file of await sources(room)) {
      wrong.push(...imports(await readFile(join(ROOT, file), 'utf8')).filter(target =>
        /migrations\/(?!schema\.ts)/.test(target)))
    }
  }
  expect(wrong).toEqual([])
})

test('only the broker touches Aedes', async () => {
  for (const room of ROOMS.filter(name => name !== 'broker')) {
    for (const file of await sources(room)) {
      expect(await readFile(join(ROOT, file), 'utf8'), file).not.toMatch(/from 'aedes/)
    }
  }
})

test('every file is named for what it knows', async () => {
  for (const room of ROOMS) {
    for (const file of await sources(room)) {
      const name = file.split('/').at(-1)!.replace('.ts', '')
      expect(JUNK_DRAWERS.test(name), file).toBe(false)
    }
  }
})

async function sources (room: string): Promise<string[]> {
  const entries = await readdir(join(ROOT, room), { recursive: true })
  return entries.filter(entry => entry.endsWith('.ts')).map(entry => join(room, entry))
}

const imports = (source: string): string[] =>
  [...source.matchAll(/from '(\.[^']+)'/g)].map(match => match[1]!)
