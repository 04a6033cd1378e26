/** A Redis of our own: nothing on disk, so a killed one comes back empty. */
import { mkdir } from 'node:fs/promises'
import { connect } from 'node:net'
import { freePort } from './ports.ts'
import { ServerProcess, type Server } from './server.ts'

const ANSWER_TIMEOUT_MS = 2_000

export interface RedisServer extends Server {
  url: string
  /** FLUSHALL. */
  empty (): Promise<void>
}

export async function prepareRedis (
  folder: string, logFile: string, onCrash: (name: string, how: string) => void, args: string[] = []
): Promise<RedisServer> {
  const port = await freePort()
  await mkdir(folder, { recursive: true })
  const server = new ServerProcess({
    name: 'redis',
    command: 'redis-server',
    args: [
      '--bind', '127.0.0.1', '--port', String(port), '--save', '', '--appendonly', 'no', '--dir', folder,
      ...args
    ],
    env: { PATH: process.env.PATH },
    cwd: folder,
    logFile,
    isReady: () => ask(port, 'PING').then(answer => /^(\+PONG|-NOAUTH)/.test(answer), () => false),
    onCrash
  })
  return Object.assign(server, {
    url: `redis://127.0.0.1:${port}`,
    empty: async () => {
      const answer = await ask(port, 'FLUSHALL')
      if (!answer.startsWith('+OK')) throw new Error(`redis answered ${answer}`)
    }
  })
}

// One inline command needs no client.
async function ask (port: number, command: string): Promise<string> {
  return await new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, timeout: ANSWER_TIMEOUT_MS })
    const settle = (done: () => void) => {
      socket.destroy()
      done()
    }
    socket.setEncoding('utf8')
    socket.once('connect', () => socket.write(`${command}\r\n`))
    socket.once('data', (answer: string) => settle(() => resolve(answer)))
    socket.once('timeout', () => settle(() => reject(new Error('redis does not answer'))))
    socket.once('error', error => settle(() => reject(error)))
  })
}
