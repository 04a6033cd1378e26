/**
 * Bundles the server into dist/, which `npm start` and the image run. It loads in a third of the time that
 * tsx takes, and its functions are plain: tsx gives each a name of its own, which costs 256 bytes a
 * closure, 3 KiB for every device.
 *
 *     node build.js
 */
import { cp, mkdir, readdir, rename, rm, stat } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'

const ROOT = import.meta.dirname
const DIST = join(ROOT, 'dist')
/** What is run by itself. */
const ENTRIES = ['main', 'migrate', 'token', 'export', 'import']
const FOLDERS = ['api', 'broker', 'core', 'messaging', 'migrations', 'push-bridge', 'store']

/**
 * Bundles `entries` (names of files to be, and sources) into `outdir`, with the files that the code expects
 * beside it. `options` go to esbuild.
 */
export async function bundle (entries, outdir, options) {
  const { build } = await import('esbuild')
  await build({
    entryPoints: Object.entries(entries).map(([out, file]) => ({ in: join(ROOT, file), out })),
    outdir,
    bundle: true,
    splitting: true, // what is imported late is loaded late
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'warning',
    ...options
  })
  for (const folder of ['migrations', 'api/grpc']) {
    await cp(join(ROOT, folder), outdir, { recursive: true, filter: source => !/\.ts$|generated/.test(source) })
  }
}

/** Several processes may start at once: each builds beside, and puts whole files into their place. */
export async function build () {
  const beside = join(ROOT, `.dist-${process.pid}`)
  await bundle(Object.fromEntries(ENTRIES.map(name => [name, `${name}.ts`])), beside, {
    packages: 'external', sourcemap: true
  })
  await cp(join(ROOT, 'web/dist'), join(beside, 'web/dist'), { recursive: true })
    .catch(error => { if (error.code !== 'ENOENT') throw error }) // the pages were not built
  const files = (await readdir(beside, { recursive: true, withFileTypes: true })).filter(file => file.isFile())
  const paths = files.map(file => relative(beside, join(file.parentPath ?? file.path, file.name)))
  // What is imported or read comes before what imports and reads it.
  const isEntry = path => ENTRIES.includes(path.replace(/\.js$/, ''))
  for (const path of [...paths.filter(path => !isEntry(path)), ...paths.filter(isEntry)]) {
    await mkdir(dirname(join(DIST, path)), { recursive: true })
    await rename(join(beside, path), join(DIST, path))
  }
  await rm(beside, { recursive: true })
}

/** Builds unless nothing has changed since. */
export async function buildIfChanged () {
  const built = await changedAt(join(DIST, 'main.js'))
  const sources = [ROOT, join(ROOT, 'web/dist')].map(folder => newestIn(folder, false))
  const newest = Math.max(...await Promise.all([
    ...sources, ...FOLDERS.map(folder => newestIn(join(ROOT, folder), true))
  ]))
  if (newest > built) await build()
}

const changedAt = async path => (await stat(path).catch(() => undefined))?.mtimeMs ?? 0

async function newestIn (folder, recursive) {
  const files = await readdir(folder, { recursive, withFileTypes: true }).catch(() => [])
  const times = files.filter(file => /\.(ts|js|json|sql|proto|html)$/.test(file.name))
    .map(file => changedAt(join(file.parentPath ?? file.path, file.name)))
  return Math.max(0, ...await Promise.all(times))
}

if (process.argv[1] === import.meta.filename) {
  await rm(DIST, { recursive: true, force: true })
  await build()
}
