/**
 * One phone sends SUBSCRIBE after SUBSCRIBE, each full of filters that are not its own: how long do others
 * wait for a PINGRESP and for REST meanwhile?
 */
import { readFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { generate, parser, type Packet } from 'mqtt-packet'
import { HttpClient } from '../load/http.ts'
import { quantile } from '../load/latencies.ts'
import { type Server } from '../server.ts'
import { type Scenario } from './scenario.ts'

const PACKETS = 69
const FILTERS = 40_000
const PAUSE_MS = 10

export const flood: Scenario = {
  name: 'flood',
  compared: ['PINGRESP max ms', 'REST max ms'],
  without: ['one-by-one', 'bare-aedes', 'in-memory'],
  async run ({ server, meter, seconds }) {
    using neighbour = await connectClient(server, 'neighbour')
    using rude = await connectClient(server, 'rude')
    const http = new HttpClient(server.api, { authorization: `Bearer ${server.token('reader')}` })
    const pings: number[] = []
    const requests: number[] = []
    const until = performance.now() + seconds * 1_000
    const watch = async (into: number[], ask: () => Promise<unknown>): Promise<void> => {
      while (performance.now() < until) {
        const before = performance.now()
        await ask()
        into.push(performance.now() - before)
        await sleep(PAUSE_MS)
      }
    }
    const before = await meter.read()
    for (let i = 0; i < PACKETS; i++) rude.send(floodPacket(i + 1))
    await Promise.all([
      watch(pings, () => neighbour.ping()),
      watch(requests, () => http.get('/api/v1/conversations'))
    ])
    const after = await meter.read()
    return {
      'PINGRESP p99 ms': quantile(pings, 0.99),
      'PINGRESP max ms': quantile(pings, 1),
      'REST p99 ms': quantile(requests, 0.99),
      'REST max ms': quantile(requests, 1),
      'CPU s': quantile([after.serverCpu - before.serverCpu], 1),
      'MB resident': quantile([await residentMb(server.pid)], 1),
      answered: rude.received.filter(({ cmd }) => cmd === 'suback').length
    }
  }
}

/** The most it ever was. */
const residentMb = async (pid: number): Promise<number> =>
  Number(/VmHWM:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024

const floodPacket = (messageId: number): Buffer => generate({
  cmd: 'subscribe',
  messageId,
  subscriptions: Array.from({ length: FILTERS }, (_, i) => ({ topic: `x${i % 10}`, qos: 1 as const }))
} as Packet)

interface Client extends Disposable {
  received: Packet[]
  send (bytes: Buffer): void
  ping (): Promise<void>
}

async function connectClient (server: Server, userId: string): Promise<Client> {
  const socket = connect(server.mqttPort, '127.0.0.1')
  const received: Packet[] = []
  const waiting: Array<() => void> = []
  const reader = parser()
  const answer = (): Promise<void> => new Promise(resolve => { waiting.push(resolve) })
  reader.on('packet', packet => {
    received.push(packet)
    if (packet.cmd === 'connack' || packet.cmd === 'pingresp') waiting.shift()?.()
  })
  socket.on('data', data => reader.parse(data)).on('error', () => {})
  const connected = answer()
  socket.write(generate({
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 4,
    clean: true,
    clientId: 'bench',
    keepalive: 0,
    username: userId,
    password: Buffer.from(server.token(userId))
  }))
  await connected
  return {
    received,
    send: bytes => { socket.write(bytes) },
    async ping () {
      const answered = answer()
      socket.write(generate({ cmd: 'pingreq' }))
      await answered
    },
    [Symbol.dispose]: () => { socket.destroy() }
  }
}
