/** Starts a server in a process of its own, and reads how much CPU it and its database use. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { issueToken } from '../messaging/access/tokens.ts'

const START_TIMEOUT_MS = 30_000
const SECRET = new TextEncoder().encode('a secret for benchmarks, nothing else')
const CLOCK_TICKS_PER_SECOND = 100

export interface Server extends AsyncDisposable {
  pid: number
  /** A server that knows no users: client ids must differ. */
  bare: boolean
  api: string
  mqttPort: number
  token (userId: string): Promise<string>
  /** CPU seconds used so far by the process and by PostgreSQL. */
  cpu (): Promise<{ server: number, postgres: number }>
}

/** `entry`: main.ts for Echo as `npm start` runs it. */
export async function startServer (entry: string): Promise<Server> {
  const dataDir = await mkdtemp(join(tmpdir(), 'echo-bench-'))
  const child = spawn(process.execPath, [
    '--expose-gc', '--import', 'tsx', '--import', './bench/collect.ts', entry
  ], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      ...process.env,
      DATA_DIR: dataDir,
      HTTP_PORT: '0',
      MQTT_PORT: '0',
      WS_PORT: '0',
      JWT_SECRET: new TextDecoder().decode(SECRET),
      RATE_LIMIT_SENDS: '0',
      RATE_LIMIT_REQUESTS: '0',
      LOG_LEVEL: 'warn'
    }
  })
  const urls = await readUrls(child)
  return {
    pid: child.pid!,
    bare: entry.includes('bare'),
    api: urls.api,
    mqttPort: urls.mqttPort,
    token: userId => issueToken({ secret: SECRET, userId, ttlSeconds: 3_600 }),
    cpu: async () => ({
      server: await cpuSeconds(child.pid!),
      postgres: await familyCpuSeconds(Number(
        (await readFile(join(dataDir, 'postgres', 'postmaster.pid'), 'utf8')).split('\n')[0]
      ))
    }),
    async [Symbol.asyncDispose] () {
      child.kill('SIGTERM')
      if (child.exitCode === null) await once(child, 'exit')
      await rm(dataDir, { recursive: true, force: true })
    }
  }
}

async function readUrls (child: ChildProcess): Promise<{ api: string, mqttPort: number }> {
  const found: { api?: string, mqttPort?: number } = {}
  const timer = setTimeout(() => child.kill('SIGKILL'), START_TIMEOUT_MS)
  for await (const line of createInterface({ input: child.stdout! })) {
    found.api ??= /(http:\S+\/api\/v1)/.exec(line)?.[1]
    const mqtt = /mqtt:\/\/\S+:(\d+)/.exec(line)?.[1]
    if (mqtt !== undefined) found.mqttPort = Number(mqtt)
    if (found.api !== undefined && found.mqttPort !== undefined) break
  }
  clearTimeout(timer)
  if (found.api === undefined || found.mqttPort === undefined) throw new Error('the server did not start')
  child.stdout!.resume()
  return { api: found.api, mqttPort: found.mqttPort }
}

// utime and stime are fields 14 and 15 of /proc/<pid>/stat, counted from behind the name, which may hold spaces.
async function cpuSeconds (pid: number): Promise<number> {
  const fields = await statFields(pid)
  return fields === undefined ? 0 : (Number(fields[11]) + Number(fields[12])) / CLOCK_TICKS_PER_SECOND
}

async function statFields (pid: number | string): Promise<string[] | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined)
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')
}

async function familyCpuSeconds (parent: number): Promise<number> {
  let total = await cpuSeconds(parent)
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    if ((await statFields(entry))?.[1] === String(parent)) total += await cpuSeconds(Number(entry))
  }
  return total
}
