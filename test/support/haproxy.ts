/** HAProxy with deploy/haproxy.cfg, in front of processes of this machine. */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { once } from 'node:events'
import { connect } from 'node:net'
import { join, resolve } from 'node:path'
import { freePort } from '../chaos/ports.ts'
import { type EchoProcess } from './echo-process.ts'
import { until } from './until.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const HAPROXY = '/usr/sbin/haproxy'
export const noHaproxy = !existsSync(HAPROXY)

/** The file's own needs more open files than every machine lets a process have. */
const MAX_CONNECTIONS = '5000'

const FRONTENDS = ['mqtt', 'websocket', 'rest', 'grpc'] as const
export type Ports = Record<typeof FRONTENDS[number], number>

export interface Haproxy extends AsyncDisposable {
  ports: Ports
}

export interface HaproxyOptions {
  folder: string
  /** By the names that the file has for them. */
  servers: Record<string, EchoProcess>
  /** With the frontends that docs/operations.md has for TLS: a file with certificate and key. */
  pem?: string
}

/** Resolves when every frontend takes connections. */
export async function startHaproxy ({ folder, servers, pem }: HaproxyOptions): Promise<Haproxy> {
  let config = await readFile(join(ROOT, 'deploy/haproxy.cfg'), 'utf8')
  if (pem !== undefined) config = withTls(config, await tlsFrontends(), pem)
  const ports = {} as Ports
  for (const frontend of FRONTENDS) {
    const port = ports[frontend] = await freePort()
    config = changeBind(config, frontend, bind => bind.replace(/^:\d+/, `:${port}`))
  }
  const file = join(folder, `haproxy${pem === undefined ? '' : '-tls'}.cfg`)
  await writeFile(file, atHome(config, servers))
  const args = ['-db', '-n', MAX_CONNECTIONS, '-f', file]
  const haproxy = spawn(HAPROXY, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [haproxy.stdout, haproxy.stderr]) {
    stream.setEncoding('utf8').on('data', chunk => { output += chunk })
  }
  const ended = once(haproxy, 'exit')
  const stop = async (): Promise<void> => {
    haproxy.kill('SIGKILL')
    await ended
  }
  try {
    for (const frontend of FRONTENDS) {
      await until(() => haproxy.exitCode !== null || takes(ports[frontend]), `${frontend} is there`, 10_000)
    }
    if (haproxy.exitCode !== null) throw new Error(`haproxy ended:\n${output}`)
  } catch (error) {
    await stop()
    throw error
  }
  return { ports, [Symbol.asyncDispose]: stop }
}

const takes = (port: number): Promise<boolean> => new Promise(resolve => {
  const socket = connect(port, '127.0.0.1')
  socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
  socket.once('connect', () => socket.destroy())
})

/** The servers of the file listen on ports of their own here. */
function atHome (config: string, servers: Record<string, EchoProcess>): string {
  return config.replaceAll(/^( {2}server (\S+) )\2:(\d+)( port 8080)?/gm, (_, head, name, port, check) => {
    const server = servers[name]
    if (server === undefined) throw new Error(`deploy/haproxy.cfg has a server ${name}`)
    const http = Number(new URL(server.http).port)
    const own = {
      1883: server.mqttPort, 8083: server.wsPort, 8080: http, 50051: server.grpcPort
    }[Number(port)]
    return `${head}127.0.0.1:${own}${check === undefined ? '' : ` port ${http}`}`
  })
}

/** The block of the document, by frontend what it binds to. */
async function tlsFrontends (): Promise<Map<string, string>> {
  const document = await readFile(join(ROOT, 'docs/operations.md'), 'utf8')
  const [, block] = /HAProxy in front[^]*?```\n([^]*?)```/.exec(document)!
  return new Map([...block!.matchAll(/frontend (\w+)\n\s+bind (.*)/g)].map(([, name, bind]) => [name!, bind!]))
}

function withTls (config: string, frontends: Map<string, string>, pem: string): string {
  for (const [frontend, bind] of frontends) {
    config = changeBind(config, frontend, () => bind.replace('/etc/haproxy/echo.pem', pem))
  }
  return config
}

function changeBind (config: string, frontend: string, change: (bind: string) => string): string {
  const changed = config.replace(
    new RegExp(`(frontend ${frontend}\\n(?: .*\\n)*?  bind )(.*)`), (_, head, bind) => head + change(bind)
  )
  if (changed === config) throw new Error(`deploy/haproxy.cfg has no frontend ${frontend} that binds`)
  return changed
}
