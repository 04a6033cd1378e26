/**
 * The programs that tests run as processes of their own, bundled once for the run: they have loaded after
 * 0.3 s of a core, which takes tsx 2.3 s, and 0.9 s if the packages stay outside. The pages that they serve
 * are built beside them.
 */
import { chmod, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { build as buildPages } from 'vite'
import { bundle } from '../../build.js'

const ROOT = resolve(import.meta.dirname, '../..')
const ENTRIES = {
  main: 'main.ts',
  migrate: 'migrate.ts',
  token: 'token.ts',
  export: 'export.ts',
  import: 'import.ts',
  impatient: 'test/support/impatient.ts',
  owner: 'test/store/embedded-postgres/owner.ts',
  device: 'test/client/device-process.ts'
}
/** They read files that lie beside them, or only some processes load them. */
const OUTSIDE = [
  '@aws-sdk/*', '@embedded-postgres/*', '@fastify/swagger-ui', '@grpc/*', 'embedded-postgres', 'firebase-admin',
  'grpc-health-check', 'pino-pretty'
]
/** What packages in CommonJS take for granted. */
const COMMONJS = `
import { createRequire as requireBeside } from 'node:module'
const require = requireBeside(import.meta.url)
const { filename: __filename, dirname: __dirname } = import.meta
`
/** Holds the folder with the bundles; the set-up of the run provides it. */
const VARIABLE = 'ECHO_TEST_PROGRAMS'

export const program = (name: keyof typeof ENTRIES): string => {
  const folder = process.env[VARIABLE]
  if (folder === undefined) throw new Error(`${VARIABLE} is not set: run the tests with vitest`)
  return join(folder, `${name}.js`)
}

/** Those of package.json, for what is bundled. */
async function scripts (): Promise<Record<string, string>> {
  const { scripts } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'))
  return Object.fromEntries(Object.entries<string>(scripts).map(([name, command]) =>
    [name, command.replace(/^node --import tsx (\S+)\.ts/, 'node $1.js')]))
}

export async function bundlePrograms (): Promise<AsyncDisposable> {
  const folder = await mkdtemp(join(tmpdir(), 'echo-test-programs-'))
  await chmod(folder, 0o755) // some run as another user
  await bundle(ENTRIES, folder, { external: OUTSIDE, banner: { js: COMMONJS } })
  await buildPages({
    root: join(ROOT, 'web'), build: { outDir: join(folder, 'web/dist') }, logLevel: 'warn'
  })
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  await writeFile(join(folder, 'package.json'), JSON.stringify({ type: 'module', scripts: await scripts() }))
  process.env[VARIABLE] = folder
  return { [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) }
}
