/**
 * Echo as its users run it: a process of its own, with all roles or some, on free ports, with
 * its own folder.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Opened } from '../../lifecycle.ts'
import { issueToken } from '../../messaging/access/tokens.ts'
import { createDatabase } from './database.ts'
import { program } from './programs.ts'
import { signToken, type TokenOptions } from './tokens.ts'
import { until } from './until.ts'

const ROOT = new URL('../..', import.meta.url).pathname
const START_DEADLINE_MS = 120_000
const STOP_DEADLINE_MS = 60_000
const SECRET = 'the secret that every system test signs its tokens with'

export interface EchoProcess extends AsyncDisposable {
  child: ChildProcess
  dataDir: string
  /** Where HTTP is served, whatever the roles. */
  http: string
  api: string
  /** NaN without the role `broker`. */
  mqttPort: number
  wsPort: number
  /** NaN without the role `api`. */
  grpcPort: number
  /** Everything printed so far. */
  output (): string
  /** `kill -9`: no time to do anything. */
  kill (): Promise<void>
  stop (signal?: NodeJS.Signals): Promise<number | null>
}

export interface EchoProcessOptions {
  dataDir: string
  env?: NodeJS.ProcessEnv
  /** All by default. */
  roles?: string[]
  /** What node runs; the bundle of main.ts by default. */
  entry?: string[]
}

/** As `npm start` does it. */
export const AS_STARTED = ['--max-semi-space-size=64', '--enable-source-maps', 'start.js']

export const token = (userId: string): Promise<string> =>
  issueToken({ secret: new TextEncoder().encode(SECRET), userId, ttlSeconds: 3_600 })

export const tokenWith = (
  userId: string, claims: Record<string, unknown>, expires?: TokenOptions['expires']
): Promise<string> => signToken(userId, { secret: new TextEncoder().encode(SECRET), claims, expires })

export async function scratchFolder (): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), 'echo-system-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true, maxRetries: 10 }) }
}

/** Spawns without waiting; for starts that are meant to fail too. */
export function spawnEcho (
  { dataDir, env = {}, roles = [], entry = [program('main')] }: EchoProcessOptions
): { child: ChildProcess, output: () => string } {
  const child = spawn(process.execPath, [...entry, ...roles], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      DATA_DIR: dataDir,
      HTTP_PORT: '0',
      MQTT_PORT: '0',
      WS_PORT: '0',
      GRPC_PORT: '0',
      JWT_SECRET: SECRET,
      LOG_LEVEL: 'info',
      STOP_DELAY_MS: '0',
      RATE_LIMIT_REQUESTS: '0',
      RATE_LIMIT_SENDS: '0',
      ...env
    }
  })
  let output = ''
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.setEncoding('utf8').on('data', chunk => { output += chunk })
  }
  return { child, output: () => output }
}

/** In a folder of its own and, unless it is to embed one, with a database of its own; both go with it. */
export async function startEchoAlone (
  { embedded = false, env, ...options }: Partial<EchoProcessOptions> & { embedded?: boolean } = {}
): Promise<EchoProcess> {
  const opened = new Opened()
  try {
    const { path: dataDir } = await opened.add(scratchFolder())
    const DATABASE_URL = embedded ? undefined : (await opened.add(createDatabase())).url
    const echo = await opened.add(startEcho({ dataDir, ...options, env: { DATABASE_URL, ...env } }))
    return { ...echo, [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose]() }
  } catch (error) {
    await opened[Symbol.asyncDispose]()
    throw error
  }
}

export async function startEcho (options: EchoProcessOptions): Promise<EchoProcess> {
  return await readyEcho(spawnEcho(options), options)
}

/** Waits for the start of what was spawned. */
export async function readyEcho (
  { child, output }: ReturnType<typeof spawnEcho>, { dataDir, roles = ['broker'] }: EchoProcessOptions
): Promise<EchoProcess> {
  const ended = (): boolean => child.exitCode !== null || child.signalCode !== null
  // A line of the log; the text with development tokens, or with addresses alone, where it says so.
  const last = roles.includes('broker') ? /"msg":"Echo is ready"\}\n|wss?:\/\/\S+\n/ : /"msg":"Echo is ready"\}\n/
  try {
    await until(() => last.test(output()) || ended(), 'Echo has started', START_DEADLINE_MS)
  } catch (error) {
    child.kill('SIGKILL') // nobody else could end it
    throw error
  }
  if (ended()) throw new Error(`Echo ended while starting:\n${output()}`)

  async function end (signal: NodeJS.Signals): Promise<number | null> {
    if (!ended()) {
      const exited = once(child, 'exit')
      child.kill(signal)
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_DEADLINE_MS)
      await exited
      clearTimeout(timer)
    }
    return child.exitCode
  }

  const port = (scheme: string): number =>
    Number(new RegExp(`${scheme}s?://[^:\\s]+:(\\d+)`).exec(output())?.[1])
  const http = `${output().includes('https://127.0.0.1') ? 'https' : 'http'}://127.0.0.1:${port('http')}`
  return {
    child,
    dataDir,
    http,
    api: `${http}/api/v1`,
    mqttPort: port('mqtt'),
    wsPort: port('ws'),
    grpcPort: Number(/(?:gRPC +|"grpc":")[^:\s]+:(\d+)/.exec(output())?.[1]),
    output,
    async kill () { await end('SIGKILL') },
    stop: (signal = 'SIGTERM') => end(signal),
    async [Symbol.asyncDispose] () { await end('SIGTERM') }
  }
}
