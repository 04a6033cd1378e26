/** The library as it is published: what a project that installs it gets. */
import { execFile } from 'node:child_process'
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { scratchFolder } from '../support/echo-process.ts'

const run = promisify(execFile)
const TSC = createRequire(import.meta.url).resolve('typescript/bin/tsc')
const PROGRAM = `
  import { createClient, createMemoryStore, EchoError, type Message } from '@echo/client'
  import { openFileStore } from '@echo/client/file-store'
  import { openBrowserClient } from '@echo/client/browser'
  import { openIndexedDbStore } from '@echo/client/indexed-db'
  const client = createClient({
    userId: 'ann', deviceId: 'laptop', token: () => 'none', api: 'http://localhost:1', mqtt: 'mqtt://localhost:1',
    store: createMemoryStore()
  })
  client.on('message', (message: Message) => console.log(message.content))
  console.log(client.model.connection.phase, typeof openFileStore, typeof openBrowserClient)
  console.log(typeof openIndexedDbStore, new EchoError('network', '').transient)
`
let folder: Awaited<ReturnType<typeof scratchFolder>>

beforeAll(async () => {
  folder = await scratchFolder()
  const packages = join(folder.path, 'node_modules')
  await mkdir(join(packages, '@echo'), { recursive: true })
  await run(process.execPath, [resolve('client/build.js'), join(packages, '@echo/client')])
  for (const name of ['mqtt', 'idb', '@types']) {
    await symlink(resolve('node_modules', name), join(packages, name))
  }
  await writeFile(join(folder.path, 'package.json'), '{ "type": "module" }')
  await writeFile(join(folder.path, 'program.mts'), PROGRAM)
})
afterAll(async () => { await folder?.[Symbol.asyncDispose]() })

test('a strict TypeScript project compiles with its types, and plain Node runs it', async () => {
  const options = '--strict --module nodenext --target es2023 --lib es2023,dom,esnext.disposable --types node'
  await run(process.execPath, [TSC, ...options.split(' '), 'program.mts'], { cwd: folder.path })
    .catch(({ stdout }) => expect(stdout).toBe(''))
  const { stdout } = await run(process.execPath, ['program.mjs'], { cwd: folder.path })
  expect(stdout).toBe('stopped function function\nfunction true\n')
})
