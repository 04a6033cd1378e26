/** The commands besides `npm start`, from source, in a folder that may hold a `.env`. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'

const TSX = import.meta.resolve('tsx')

/** `undefined` in `env` takes a variable out of the environment. */
export async function runCommand (
  file: 'migrate.ts' | 'token.ts' | 'export.ts' | 'import.ts', { folder, args = [], env = {} }:
  { folder: string, args?: string[], env?: NodeJS.ProcessEnv }
): Promise<{ code: number | null, output: string }> {
  const child = spawn(process.execPath, ['--import', TSX, resolve(file), ...args], {
    cwd: folder, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env }
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', chunk => { output += chunk })
  }
  const [code] = await once(child, 'close')
  return { code, output }
}
