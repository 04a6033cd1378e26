/**
 * `node --import tsx bench/idle.ts [--devices 4000]`: resident memory per idle
 * device (connection, session, one inbox subscription), for Echo and for a bare
 * Aedes. The first half of the devices warms the process up; the second half is measured.
 */
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { parseArgs } from 'node:util'
import { generate, parser, type Packet } from 'mqtt-packet'
import { startServer, type Server } from './server.ts'

const { values } = parseArgs({ options: { devices: { type: 'string', default: '4000' } } })
const devices = Number(values.devices)
const AT_ONCE = 50
const QUIET_MS = 3_000

const rows = []
for (const [name, entry] of [['Echo', 'main.ts'], ['bare Aedes', 'bench/bare-aedes.ts']] as const) {
  await using server = await startServer(entry)
  const sockets = await connectDevices(server, 0, devices / 2)
  const half = await quietRss(server)
  sockets.push(...await connectDevices(server, devices / 2, devices))
  const all = await quietRss(server)
  rows.push({
    server: name,
    devices,
    'RSS MB': Math.round(all / 1e6),
    'KB per device': Number(((all - half) / (devices / 2) / 1024).toFixed(1))
  })
  for (const socket of sockets) socket.destroy()
}
console.table(rows)

async function connectDevices (server: Server, from: number, to: number): Promise<Socket[]> {
  const sockets: Socket[] = []
  for (let i = from; i < to; i += AT_ONCE) {
    sockets.push(...await Promise.all(Array.from(
      { length: Math.min(AT_ONCE, to - i) }, (_, k) => connectDevice(server, `idle-${i + k}`)
    )))
  }
  return sockets
}

async function connectDevice (server: Server, userId: string): Promise<Socket> {
  const socket = connect(server.mqttPort, '127.0.0.1')
  await once(socket, 'connect')
  const packets = parser()
  socket.on('data', chunk => packets.parse(chunk))
  const answer = async (cmd: Packet['cmd'], packet: Packet): Promise<void> => {
    socket.write(generate(packet))
    const [received] = await once(packets, 'packet') as [Packet]
    if (received.cmd !== cmd) throw new Error(`expected ${cmd}, got ${received.cmd}`)
  }
  await answer('connack', {
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 4,
    clean: false,
    clientId: 'phone',
    keepalive: 1_800,
    username: userId,
    password: Buffer.from(await server.token(userId)),
    ...(server.bare ? { clientId: userId } : {})
  })
  await answer(
    'suback', { cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: `user/${userId}/inbox`, qos: 1 }] }
  )
  return socket
}

async function quietRss (server: Server): Promise<number> {
  for (let i = 0; i < 3; i++) {
    process.kill(server.pid, 'SIGUSR2') // collects garbage: bench/collect.ts
    await new Promise(resolve => setTimeout(resolve, QUIET_MS))
  }
  const pages = Number((await readFile(`/proc/${server.pid}/statm`, 'utf8')).split(' ')[1])
  return pages * 4096
}
