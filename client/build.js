/**
 * `npm run build -w client [-- <folder>]`: the package as it is published, in `client/dist` or another folder:
 * JavaScript with types. Inside this repository the sources are used as they are, so only the published
 * package.json exports what was built.
 */
import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'

const HERE = import.meta.dirname
const folder = resolve(process.argv[2] ?? join(HERE, 'dist'))

rmSync(folder, { recursive: true, force: true })
mkdirSync(folder, { recursive: true })
const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc')
const options = ['-p', join(HERE, 'tsconfig.build.json'), '--outDir', folder]
execFileSync(process.execPath, [tsc, ...options], { stdio: 'inherit' })

const { private: _, scripts, exports, ...described } =
  JSON.parse(readFileSync(join(HERE, 'package.json'), 'utf8'))
const built = source => ({ types: source.replace(/\.ts$/, '.d.ts'), default: source.replace(/\.ts$/, '.js') })
writeFileSync(join(folder, 'package.json'), `${JSON.stringify({
  ...described,
  sideEffects: false,
  exports: Object.fromEntries(Object.entries(exports).map(([name, source]) => [name, built(source)]))
}, null, 2)}\n`)
copyFileSync(join(HERE, 'README.md'), join(folder, 'README.md'))
copyFileSync(join(HERE, '../LICENSE'), join(folder, 'LICENSE'))
