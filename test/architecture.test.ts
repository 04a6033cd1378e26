/** Who may import what: between rooms, between the rooms within a room, and never in a circle. */
import { readdir, readFile } from 'node:fs/promises'
import { dirname, join, normalize } from 'node:path'
import { beforeAll, expect, test } from 'vitest'

const ROOT = new URL('..', import.meta.url).pathname

/** Which rooms each room may import from, besides itself. */
const ARROWS: Record<string, string[]> = {
  core: [],
  migrations: [],
  store: ['core', 'migrations'],
  messaging: ['store', 'core', 'migrations'],
  broker: ['messaging', 'store', 'core', 'migrations'],
  api: ['messaging', 'store', 'core'],
  'push-bridge': ['messaging', 'store', 'core'],
  client: []
}

/** The rooms within a room. Each may import from those behind it, and from the files that lie beside them. */
const ORDER: Record<string, string[]> = {
  messaging: [
    'admin', 'messages', 'conversations', 'access', 'people', 'cluster', 'log', 'send', 'receipts',
    'attachments', 'deliver'
  ],
  broker: ['json-websocket', 'handlers', 'acl', 'aedes', 'inbox', 'transport', 'limits'],
  api: ['routes', 'grpc', 'pages', 'attachments', 'limits', 'requests', 'contract'],
  store: [
    'connections', 'conversations', 'people', 'log', 'messages', 'erasure', 'push', 'files', 'embedded-postgres'
  ],
  'push-bridge': ['fcm', 'pace'],
  client: ['live', 'sync', 'outbox', 'connection', 'state', 'store', 'model', 'wire']
}

/** Packages that only one folder may know. */
const ONLY: Record<string, string> = {
  aedes: 'broker',
  'aedes-persistence': 'broker',
  'firebase-admin': 'push-bridge/fcm',
  pg: 'store',
  '@grpc/grpc-js': 'api/grpc'
}
const MAX_FILES = 13
/**
 * Routes: a file a noun, however many nouns there are. Root files start the rooms and hold what they share.
 */
const LARGE = new Set(['api/routes', 'push-bridge'])
const JUNK_DRAWERS = /^(utils?|helpers?|common|shared|lib|types|interfaces|constants)$/

/** File → what it imports: files of the product, and packages by name. */
const imports = new Map<string, { files: string[], packages: string[] }>()

beforeAll(async () => {
  for (const room of Object.keys(ARROWS)) {
    const entries = await readdir(join(ROOT, room), { recursive: true })
    for (const entry of entries.filter(entry => entry.endsWith('.ts'))) await read(join(room, entry))
  }
})

async function read (file: string): Promise<void> {
  const source = await readFile(join(ROOT, file), 'utf8')
  const names = [...source.matchAll(/(?:from|import|require\()\s*\(?'([^']+)'/g)].map(match => match[1]!)
  imports.set(file, {
    files: names.filter(name => name.startsWith('.')).map(name => normalize(join(dirname(file), name))),
    packages: names.filter(name => !/^(\.|node:)/.test(name))
  })
}

test('rooms import along the arrows: doors know messaging, not each other', () => {
  expect(wrong((file, target) => {
    const [from, to] = [roomOf(file), roomOf(target)]
    if (from === to || ARROWS[from]!.includes(to)) return undefined
    const known = ARROWS[from]!.join(', ') || 'itself'
    return `${from} may not know ${to === '' ? 'the wiring' : to}, only ${known}`
  })).toEqual([])
})

test('rooms within a room import in one direction', () => {
  expect(wrong((file, target) => {
    const [room, from, to] = [roomOf(file), partOf(file), partOf(target)]
    if (room !== roomOf(target) || from === to || from === undefined || to === undefined) return undefined
    const order = ORDER[room] ?? []
    if (!order.includes(from) || !order.includes(to)) {
      return `the order of ${room} does not name ${from} and ${to}`
    }
    return order.indexOf(from) < order.indexOf(to) ? undefined : `${room}/${to} comes before ${room}/${from}`
  })).toEqual([])
})

test('no files import each other in a circle, not even for types', () => {
  const circles: string[] = []
  const done = new Set<string>()
  function follow (file: string, path: string[]): void {
    if (path.includes(file)) {
      circles.push(`${[...path.slice(path.indexOf(file)), file].join(' imports ')}: a circle`)
    } else if (!done.has(file)) {
      for (const target of imports.get(file)?.files ?? []) follow(target, [...path, file])
      done.add(file)
    }
  }
  for (const file of imports.keys()) follow(file, [])
  expect(circles).toEqual([])
})

test('of migrations, other rooms use the schema only', () => {
  expect(wrong((file, target) =>
    roomOf(target) === 'migrations' && roomOf(file) !== 'migrations' && target !== 'migrations/schema.ts'
      ? 'only migrations/schema.ts is for others'
      : undefined)).toEqual([])
})

test('Aedes, PostgreSQL and Firebase have one room each', () => {
  const found: string[] = []
  for (const [file, { packages }] of imports) {
    for (const name of packages) {
      const room = ONLY[name.startsWith('@') ? name : name.split('/')[0]!]
      if (room !== undefined && !file.startsWith(`${room}/`) && roomOf(file) !== 'migrations') {
        found.push(`${file} imports ${name}: only ${room} may`)
      }
    }
  }
  expect(found).toEqual([])
})

test('of the client library, only the store in a file needs Node', async () => {
  const wanting: string[] = []
  for (const file of imports.keys()) {
    if (roomOf(file) !== 'client' || /^client\/store\/file/.test(file)) continue
    const source = await readFile(join(ROOT, file), 'utf8')
    if (/from 'node:|\b(?:Buffer|process)\.\w/.test(source)) wanting.push(file)
  }
  expect(wanting).toEqual([])
})

test('every file is named for what it knows, and no folder is a heap', () => {
  const folders = new Map<string, number>()
  for (const file of imports.keys()) {
    expect(JUNK_DRAWERS.test(file.split('/').at(-1)!.replace('.ts', '')), file).toBe(false)
    folders.set(dirname(file), (folders.get(dirname(file)) ?? 0) + 1)
  }
  expect([...folders].filter(([folder, files]) => files > MAX_FILES && !LARGE.has(folder))).toEqual([])
})

const roomOf = (file: string): string => file.includes('/') ? file.split('/')[0]! : ''
/** The room within the room; undefined for a file that lies beside them. */
const partOf = (file: string): string | undefined =>
  file.split('/').length > 2 ? file.split('/')[1] : undefined

/** A sentence for each import that `judge` has something against. */
function wrong (judge: (file: string, target: string) => string | undefined): string[] {
  return [...imports].flatMap(([file, { files }]) => files.flatMap(target => {
    const reason = judge(file, target)
    return reason === undefined ? [] : [`${file} imports ${target}: ${reason}`]
  }))
}
