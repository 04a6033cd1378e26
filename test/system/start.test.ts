import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile, stat } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import {
  AS_STARTED, scratchFolder, spawnEcho, startEcho, type EchoProcess
} from '../support/echo-process.ts'
import { until } from '../support/until.ts'

const run = promisify(execFile)

test('the printed commands work as printed', async () => {
  await using folder = await scratchFolder()
  await using echo = await startEcho({ dataDir: folder.path, env: { JWT_SECRET: '' }, entry: AS_STARTED })
  const lines = echo.output().split('\n')
  const first = lines.findIndex(line => line.startsWith('BOB='))
  const [bob, subscribe] = lines.slice(first, first + 2)
  const second = lines.findIndex(line => line.startsWith('ALICE='))
  const alice = lines.slice(second, lines.findIndex((line, i) => i > second && line === ''))

  const phone = spawn('bash', ['-c', `${bob}\nexec ${subscribe}`], { stdio: ['ignore', 'pipe', 'inherit'] })
  let received = ''
  phone.stdout.setEncoding('utf8').on('data', chunk => { received += chunk })
  try {
    // The conversation is made once; a phone that subscribes first is the ordinary case. Whoever is late
    // brings the name that their token has.
    const metrics = async (): Promise<string> => await (await fetch(`${echo.http}/metrics`)).text()
    await until(async () => (await metrics()).includes('\necho_connected_users 1\n'), 'bob is there')
    const { stdout } = await run('bash', ['-c', alice.join('\n')])
    const [delivered, read, inbox] = stdout.trim().split('\n').map(line => JSON.parse(line))
    expect(delivered.status).toBe('delivered')
    expect(read.status).toBe('read')
    expect(inbox.events.map((event: { type: string }) => event.type)).toEqual([
      'conversation_created', 'message_sent', 'message_delivered', 'message_read'
    ])
    expect(received).toContain('"content":"Hello Bob"')
  } finally {
    phone.kill()
    await once(phone, 'exit')
  }
})

test('a development secret is made once, readable by its owner only, and `npm run -s token` signs with it', async () => {
  await using folder = await scratchFolder()
  const env = { JWT_SECRET: '' }
  {
    await using echo = await startEcho({ dataDir: folder.path, env })
    expect((await stat(join(folder.path, 'jwt-secret'))).mode & 0o777).toBe(0o600)
    const { stdout } = await run('npm', [
      'run', '-s', 'token', '--', 'carol', '--ttl', '5m'
    ], { env: { ...process.env, DATA_DIR: folder.path, ...env } })
    expect(stdout).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+\n$/)
    expect(await whoAmI(echo, stdout.trim())).toBe('carol')
  }
  const before = await readFile(join(folder.path, 'jwt-secret'), 'utf8')
  await using again = await startEcho({ dataDir: folder.path, env })
  expect(again.output()).toContain('Echo is ready.')
  expect(await readFile(join(folder.path, 'jwt-secret'), 'utf8')).toBe(before)
})

test.for([
  ['HTTP_PORT'], ['MQTT_PORT'], ['WS_PORT'], ['GRPC_PORT']
] as const)('a taken %s is named together with its variable, and nothing stays behind', async ([variable]) => {
  await using folder = await scratchFolder()
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  try {
    const { child, output } = spawnEcho({ dataDir: folder.path, env: { [variable]: String(port) } })
    const [code] = await once(child, 'exit')
    expect(code).toBe(1)
    expect(output()).toMatch(new RegExp(`port ${port}\\b.*in use`))
    expect(output()).toContain(variable)
    expect(await processesOf(folder.path)).toEqual([])
  } finally {
    server.close()
  }
})

test('a wrong configuration stops the start with every problem named', async () => {
  await using folder = await scratchFolder()
  const { child, output } = spawnEcho({
    dataDir: folder.path, env: { HTTP_PORT: 'eighty', PUSH_GRACE_MS: '-1', JWT_SECRET: 'short' }
  })
  const [code] = await once(child, 'exit')
  expect(code).toBe(1)
  for (const name of ['HTTP_PORT', 'PUSH_GRACE_MS', 'JWT_SECRET']) expect(output()).toContain(name)
})

test.for(
  [['SIGTERM'], ['SIGINT']] as const
)('%s stops everything and leaves no process behind', async ([signal]) => {
  await using folder = await scratchFolder()
  await using echo = await startEcho({ dataDir: folder.path })
  expect(await processesOf(folder.path)).not.toEqual([])
  expect(await echo.stop(signal)).toBe(0)
  expect(await processesOf(folder.path)).toEqual([])
})

test('after kill -9 the next start takes the orphaned database over, and a neighbour stays untouched', async () => {
  await using folder = await scratchFolder()
  await using other = await scratchFolder()
  await using neighbour = await startEcho({ dataDir: other.path })
  {
    await using echo = await startEcho({ dataDir: folder.path })
    await echo.kill()
    expect(await processesOf(folder.path)).not.toEqual([])
  }
  const untouched = await processesOf(other.path)
  await using again = await startEcho({ dataDir: folder.path })
  expect((await fetch(new URL('/ready', again.api))).status).toBe(200)
  expect((await fetch(new URL('/ready', neighbour.api))).status).toBe(200)
  expect(await processesOf(other.path)).toEqual(untouched)

  const { child, output } = spawnEcho({ dataDir: folder.path })
  const [code] = await once(child, 'exit')
  expect(code).toBe(1)
  expect(output()).toContain('DATA_DIR')
  await until(
    async () => (await fetch(new URL('/ready', again.api))).status === 200, 'the first one still serves'
  )
})

async function whoAmI (echo: EchoProcess, token: string): Promise<string> {
  const response = await fetch(`${echo.api}/users/me`, { headers: { authorization: `Bearer ${token}` } })
  return (await response.json() as { id: string }).id
}

/** The database servers whose command line names this folder. */
async function processesOf (folder: string): Promise<number[]> {
  const found: number[] = []
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    const command = await readFile(`/proc/${entry}/cmdline`, 'utf8').catch(() => '')
    if (command.includes(folder)) found.push(Number(entry))
  }
  return found.sort()
}
