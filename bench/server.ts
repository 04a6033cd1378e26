/** Starts a server in a process of its own, with a database as asked for, and says how it is reached. */
import { spawn, type ChildProcess } from 'node:child_process'
import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { bundle } from '../build.js'
import { startFreshCluster, type ClusterOptions } from './database.ts'

const START_TIMEOUT_MS = 60_000
const SECRET = 'a secret for benchmarks, nothing else'
const TOKEN_TTL_SECONDS = 24 * 3_600
const BENCH = import.meta.dirname
/** As in `npm start`; for the yardsticks too. */
const NODE_OPTIONS = ['--max-semi-space-size=64', '--enable-source-maps']

export type DatabaseKind = 'embedded' | 'postgres' | 'url'

export interface ServerOptions {
  /** A yardstick of this folder; undefined: Echo as `npm start` runs it. */
  yardstick?: string
  /** The checkout whose code runs; this one by default. */
  cwd?: string
  database: DatabaseKind
  /** For `postgres`. */
  cluster?: ClusterOptions
  /** For `url`. */
  databaseUrl?: string
  /** Whether `npm run migrate` has to come first, as with Echo on a database of its user's. */
  migrate?: boolean
  /** A folder for the server's CPU profile. */
  profile?: string
  environment?: Record<string, string>
}

export interface Server extends AsyncDisposable {
  pid: number
  api: { host: string, port: number }
  mqttPort: number
  /** Undefined for a server without WebSockets. */
  wsPort: number | undefined
  /** Undefined for a server without a database. */
  databaseUrl: string | undefined
  token (userId: string): string
}

// Whatever ends the benchmark, no server, cluster or folder of it is left.
const running = new Set<() => Promise<void>>()
for (const event of ['SIGINT', 'SIGTERM', 'uncaughtException', 'unhandledRejection']) {
  process.once(event, (reason: unknown) => {
    if (reason instanceof Error) console.error(reason)
    const exit = (): never => process.exit(1)
    Promise.allSettled([...running].map(async close => await close())).then(exit, exit)
  })
}

/** Fails if the server has not said where it listens after a minute. */
export async function startServer (options: ServerOptions): Promise<Server> {
  const closers: Array<() => Promise<unknown>> = []
  let closed: Promise<void> | undefined
  const close = async (): Promise<void> => await (closed ??= (async () => {
    for (const closer of closers.toReversed()) await closer()
    running.delete(close)
  })())
  running.add(close)
  try {
    const dataDir = await mkdtemp(join(tmpdir(), 'echo-bench-'))
    closers.push(async () => await rm(dataDir, { recursive: true, force: true }))
    let url = options.databaseUrl
    if (options.database === 'postgres') {
      const cluster = await startFreshCluster(options.cluster!)
      closers.push(async () => await cluster[Symbol.asyncDispose]())
      url = cluster.url
    }
    const cwd = options.cwd ?? resolve(BENCH, '..')
    if (url !== undefined && options.migrate === true) await migrate(cwd, url)
    const entry = options.yardstick === undefined ? 'start.js' : await built(options.yardstick)
    const child = spawnNode(entry, options, { cwd, dataDir, url })
    closers.push(async () => await ended(child))
    const { api, mqttPort, wsPort } = await readUrls(child, options.yardstick === undefined)
    return {
      pid: child.pid!,
      api,
      mqttPort,
      wsPort,
      databaseUrl: url ?? await embeddedUrl(dataDir),
      token: issueToken,
      [Symbol.asyncDispose]: close
    }
  } catch (error) {
    await close()
    throw error
  }
}

/** A yardstick is built like Echo. Its packages are found from where it lies. */
async function built (yardstick: string): Promise<string> {
  const folder = join(BENCH, '../node_modules/.cache/echo-bench')
  await bundle({ [yardstick]: `bench/${yardstick}.ts` }, folder, { packages: 'external', sourcemap: true })
  return join(folder, `${yardstick}.js`)
}

function spawnNode (
  entry: string,
  { profile, environment }: ServerOptions,
  { cwd, dataDir, url }: { cwd: string, dataDir: string, url: string | undefined }
): ChildProcess {
  return spawn(process.execPath, [
    ...(profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${resolve(profile)}`]),
    ...NODE_OPTIONS, '--expose-gc', '--import', join(BENCH, 'collect.js'), entry
  ], {
    cwd,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      ...process.env,
      DATA_DIR: dataDir,
      DATABASE_URL: url ?? '',
      REDIS_URL: '',
      HTTP_PORT: '0',
      MQTT_PORT: '0',
      WS_PORT: '0',
      GRPC_PORT: '0',
      JWT_SECRET: SECRET,
      RATE_LIMIT_SENDS: '0',
      RATE_LIMIT_REQUESTS: '0',
      LOG_LEVEL: 'warn',
      ...environment
    }
  })
}

async function migrate (cwd: string, url: string): Promise<void> {
  const child = spawn('npm', ['run', '-s', 'migrate'], {
    cwd, stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, DATABASE_URL: url }
  })
  const [code] = await once(child, 'exit') as [number | null]
  if (code !== 0) throw new Error('npm run migrate failed')
}

async function ended (child: ChildProcess): Promise<void> {
  child.kill('SIGTERM')
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
}

async function readUrls (
  child: ChildProcess, isEcho: boolean
): Promise<Pick<Server, 'api' | 'mqttPort' | 'wsPort'>> {
  let api: URL | undefined
  let mqttPort: number | undefined
  let wsPort: number | undefined
  const timer = setTimeout(() => child.kill('SIGKILL'), START_TIMEOUT_MS)
  for await (const line of createInterface({ input: child.stdout! })) {
    const rest = /(http:[^\s"]+?\/api\/v1)/.exec(line)?.[1]
    if (rest !== undefined) api ??= new URL(rest)
    const mqtt = /mqtt:\/\/[^\s"]+?:(\d+)/.exec(line)?.[1]
    if (mqtt !== undefined) mqttPort = Number(mqtt)
    const ws = /ws:\/\/[^\s"]+?:(\d+)\/ws/.exec(line)?.[1]
    if (ws !== undefined) wsPort = Number(ws)
    if (api !== undefined && mqttPort !== undefined && (!isEcho || wsPort !== undefined)) break
  }
  clearTimeout(timer)
  if (api === undefined || mqttPort === undefined) throw new Error('the server did not start')
  child.stdout!.resume()
  return { api: { host: api.hostname, port: Number(api.port) }, mqttPort, wsPort }
}

/** The embedded database is reached through the socket folder that its postmaster.pid names. */
async function embeddedUrl (dataDir: string): Promise<string | undefined> {
  const text = await readFile(join(dataDir, 'postgres', 'postmaster.pid'), 'utf8').catch(() => undefined)
  if (text === undefined) return undefined
  const [, , , port, folder] = text.split('\n')
  return `postgres://postgres@/echo?host=${encodeURIComponent(folder!)}&port=${port}&sslmode=disable`
}

/** HS256. Thousands are needed at once, so nothing but the signature is computed. */
function issueToken (userId: string): string {
  const now = Math.floor(Date.now() / 1_000)
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const signed = `${part({ alg: 'HS256' })}.${part({ sub: userId, iat: now, exp: now + TOKEN_TTL_SECONDS })}`
  return `${signed}.${createHmac('sha256', SECRET).update(signed).digest('base64url')}`
}
