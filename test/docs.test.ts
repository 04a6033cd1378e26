/** The documents against the tree: what they and the comments name is there, and what is there is named. */
import { readFileSync } from 'node:fs'
import { access, readdir } from 'node:fs/promises'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { expect, test } from 'vitest'

const ROOT = resolve(import.meta.dirname, '..')
const NOT_OURS = new Set(['node_modules', 'dist', 'data', '.git'])
/** What happened stays as it was called then. */
const HISTORY = 'CHANGELOG.md'
/** Mirrors the tree: its own row stands for all of it. */
const MIRROR = 'test'
/** Number, title, date and status. */
const HEAD_OF_RECORD =
  /^# (\d{4}): (.+)\n\n([\d-]{10}) · (accepted|superseded by \d{4})(?:, revised [\d-]{10})?\n\n/

const files = await filesBelow('.')
const documents = files.filter(file => file.endsWith('.md'))
const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8')

test('every relative link leads to a file, and to a heading where it names one', async () => {
  const broken: string[] = []
  for (const document of documents) {
    for (const link of linksIn(read(document))) {
      const [path = '', anchor] = link.split('#')
      const target = path === '' ? document : below(dirname(document), decodeURI(path))
      if (!await exists(target)) broken.push(`${document}: ${link} leads nowhere`)
      else if (anchor !== undefined && !headingsIn(read(target)).includes(anchor)) {
        broken.push(`${document}: ${link} names no heading of ${target}`)
      }
    }
  }
  expect(broken).toEqual([])
})

test('every file that a document names exists', () => {
  const names = new Set(files.map(file => basename(file)))
  const missing: string[] = []
  for (const document of documents.filter(name => name !== HISTORY)) {
    for (const path of pathsIn(read(document))) {
      if (!files.includes(sourceOf(path))) missing.push(`${document} names ${path}`)
    }
    for (const name of bareNamesIn(read(document))) {
      if (!names.has(name)) missing.push(`${document} names ${name}, and no file is called so`)
    }
  }
  expect(missing).toEqual([])
})

test('every file that code names in a comment or a message exists', () => {
  const missing = files.filter(file => file.endsWith('.ts')).flatMap(file =>
    namesIn(withoutImports(read(file)))
      .filter(name => !above(file).some(folder => files.includes(below(folder, name))))
      .map(name => `${file} names ${name}, which is in no folder from its own up to the root`))
  expect(missing).toEqual([])
})

test('every test that CI leaves out exists', async () => {
  const left = [...read('.ci/run').matchAll(/--exclude '?([^ '*]+)/g)].map(([, path]) => path!)
  expect(left.length).toBeGreaterThan(0)
  for (const path of left) expect(await exists(path), path).toBe(true)
})

test('every npm script that a document names exists', () => {
  const scripts = Object.keys(JSON.parse(read('package.json')).scripts)
  const named = documents.flatMap(document => [...read(document).matchAll(/npm run (?:-s )?([a-z][a-z:-]*)/g)]
    .map(([, script]) => `${document}: ${script}`))
  expect(named.filter(entry => !scripts.includes(entry.split(': ')[1]!))).toEqual([])
})

test('the index of documents has all of them', () => {
  const listed = new Set(linksIn(read('docs/README.md')).map(link => below('docs', link)))
  const expected = [
    ...documents.filter(file => !file.includes('/')),
    ...files.filter(file =>
      file.startsWith('docs/') && file !== 'docs/README.md' &&
      [isRecord, isPlot, isPicture].every(isOther => !isOther(file)))
  ]
  expect(expected.filter(file => !listed.has(file))).toEqual([])
})

test('every plot is shown where it is explained', () => {
  const shown = new Set(linksIn(read('docs/performance.md')).map(link => below('docs', link)))
  expect(files.filter(isPlot).filter(file => !shown.has(file))).toEqual([])
})

test('every picture is shown in README.md', () => {
  const shown = new Set(linksIn(read('README.md')))
  expect(files.filter(isPicture).filter(file => !shown.has(file))).toEqual([])
})

test('decision records are numbered without gaps, dated, with a status, and in their index', () => {
  const records = files.filter(isRecord).sort()
  const index = read('docs/decisions/README.md')
  expect(records.length).toBeGreaterThan(0)
  expect(files.filter(file => file.startsWith('docs/decisions/'))).toHaveLength(records.length + 1)
  records.forEach((record, i) => {
    const number = String(i + 1).padStart(4, '0')
    const file = basename(record)
    expect(file.slice(0, 4), 'the number that follows').toBe(number)
    const head = HEAD_OF_RECORD.exec(read(record))
    expect(head, `${file} begins with its number, title, date and status`).not.toBeNull()
    const [, own, title, date, status] = head!
    expect(own, file).toBe(number)
    expect(index, `the row of ${file}`).toContain(`| [${number}](${file}) | ${title} | ${date} | ${status} |`)
  })
})

test('the table of rooms has every folder of the code, two levels deep, and no other', async () => {
  const [, section = ''] = read('docs/architecture.md').split('\n## Rooms\n')
  const listed = section.split('\n## ')[0]!.split('\n')
    .flatMap(line => /^\| `([\w-]+(?:\/[\w-]+)?)\/`/.exec(line)?.[1] ?? [])
  const folders = new Set(files.filter(file => /\.tsx?$/.test(file)).flatMap(file => {
    const [room, sub, ...rest] = file.split('/')
    if (sub === undefined) return []
    return rest.length > 0 && room !== MIRROR ? [room!, `${room}/${sub}`] : [room!]
  }))
  expect(listed.toSorted()).toEqual([...folders].sort())
})

async function filesBelow (folder: string): Promise<string[]> {
  const entries = await readdir(join(ROOT, folder), { withFileTypes: true })
  const found = await Promise.all(entries.map(async entry => {
    const path = join(folder, entry.name)
    if (entry.isFile()) return [path]
    return entry.isDirectory() && !NOT_OURS.has(entry.name) ? await filesBelow(path) : []
  }))
  return found.flat()
}

/** Where a path leads that is written in a file of `folder`, seen from the root. */
const below = (folder: string, path: string): string => relative(ROOT, resolve(ROOT, folder, path))

const exists = (path: string): Promise<boolean> => access(join(ROOT, path)).then(() => true, () => false)
/** The folder of a file and those around it. */
const above = (file: string): string[] => file.split('/').map((_, i, parts) => parts.slice(0, i).join('/'))
const isRecord = (file: string): boolean => /^docs\/decisions\/\d/.test(file)
const isPlot = (file: string): boolean => /^docs\/performance\/.+\.svg$/.test(file)
const isPicture = (file: string): boolean => file.startsWith('docs/images/')

const withoutBlocks = (text: string): string => text.replace(/^```[\s\S]*?^```/gm, '')

/** Where links lead, beyond this repository excepted. */
function linksIn (text: string): string[] {
  const prose = withoutBlocks(text).replace(/`[^`]*`/g, '`code`')
  return [...prose.matchAll(/\]\(([^()\s]+)\)/g)].map(([, link]) => link!)
    .filter(link => !/^[a-z]+:/.test(link))
}

/** The anchors that headings get: lower case, without punctuation, spaces as hyphens. */
const headingsIn = (text: string): string[] => [...withoutBlocks(text).matchAll(/^#+ +(.+)$/gm)]
  .map(([, heading]) => heading!.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-'))

/** A file with its folder, in prose, tables and commands alike. */
const pathsIn = (text: string): string[] =>
  [...text.matchAll(/(?<![\w./:*-])((?:\.?[a-z][\w.-]*\/)+[\w.-]+\.(?:ts|js|json|ya?ml|sql|cfg))\b/g)]
    .map(([, path]) => path!)

/** What a build makes has its source at the same place. */
const sourceOf = (path: string): string => path.replace(/^dist\/(.*)\.js$/, '$1.ts')

/** A file without its folder. */
const bareNamesIn = (text: string): string[] =>
  [...text.matchAll(/(?<![\w./*-])([a-z][\w-]*(?:\.test)?\.(?:ts|js|cfg))\b/g)].map(([, name]) => name!)

/** Sources and documents, from any folder on. */
const namesIn = (text: string): string[] =>
  [...text.matchAll(/(?<![\w./*-])((?:[\w.-]+\/)*[a-z][\w.-]*\.(?:ts|md))\b/g)].map(([, name]) => name!)

/** What an import names is the compiler's to check. */
const withoutImports = (text: string): string => text.replace(/(?:from|import)\s*\(?\s*'[^']+'/g, '')
