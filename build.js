/**
 * Bundles the server into dist/, which `npm start` and the image run. It loads in a third of the time that
 * tsx takes, and its functions are plain: tsx gives each a name of its own, which costs 256 bytes a
 * closure, 3 KiB for every device.
 *
 *     node build.js
 */
import { cp, mkdir, readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'

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
  const { outputFiles } = await build({
    entryPoints: Object.entries(entries).map(([out, file]) => ({ in: join(ROOT, file), out })),
    outdir,
    write: false,
    bundle: true,
    splitting: true, // what is imported late is loaded late
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'warning',
    ...options
  })
  await mkdir(outdir, { recursive: true })
  for (const folder of ['migrations', 'api/grpc']) {
    await cp(join(ROOT, folder), outdir, { recursive: true, filter: source => !/\.ts$|generated/.test(source) })
  }
  // Each whole or not at all, what is imported before what imports it: another process may start meanwhile.
  const isEntry = ({ path }) => basename(path).replace(/\.js(\.map)?$/, '') in entries
  for (const file of [...outputFiles.filter(one => !isEntry(one)), ...outputFiles.filter(isEntry)]) {
    await writeFile(`${file.path}.${process.pid}`, file.contents)
    await rename(`${file.path}.${process.pid}`, file.path)
  }
}

export async function build () {
  await bundle(Object.fromEntries(ENTRIES.map(name => [name, `${name}.ts`])), DIST, {
    packages: 'external', sourcemap: true
  })
  await cp(join(ROOT, 'web/dist'), join(DIST, 'web/dist'), { recursive: true })
    .catch(error => { if (error.code !== 'ENOENT') throw error }) // the pages were not built
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
