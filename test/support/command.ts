/** The commands besides `npm start`, in a folder that may hold a `.env`. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { program } from './programs.ts'

/** `undefined` in `env` takes a variable out of the environment. */
export async function runCommand (
  name: 'migrate' | 'token' | 'export' | 'import', { folder, args = [], env = {} }:
  { folder: string, args?: string[], env?: NodeJS.ProcessEnv }
): Promise<{ code: number | null, output: string }> {
  const child = spawn(process.execPath, [program(name), ...args], {
    cwd: folder, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env }
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', chunk => { output += chunk })
  }
  const [code] = await once(child, 'close')
  return { code, output }
}
