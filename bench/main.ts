/**
 * `npm run bench [-- --seconds 10 --pairs 50]`: REST → commit → MQTT device →
 * PUBACK recorded, on 127.0.0.1, load generator included. The same loads go to
 * Echo and to a server that does the same statement by statement; two fixed
 * rates for latency, then as much as goes through.
 */
import { parseArgs } from 'node:util'
import { openPair, type Pair } from './pairs.ts'
import { startServer, type Server } from './server.ts'

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '10' }, pairs: { type: 'string', default: '50' } }
})
const seconds = Number(values.seconds)
const WARM_UP_MS = 3_000
const SETTLE_TIMEOUT_MS = 60_000

interface Load { name: string, run: (pairs: Pair[], until: number) => Promise<void> }

const loads: Load[] = [
  { name: '200 messages/s', run: (pairs, until) => atRate(pairs, 200, until) },
  { name: '500 messages/s', run: (pairs, until) => atRate(pairs, 500, until) },
  { name: '1 in flight per pair', run: (pairs, until) => closedLoop(pairs, 1, until) },
  { name: '20 in flight per pair', run: (pairs, until) => closedLoop(pairs, 20, until) }
]
const servers = [['Echo', 'main.ts'], ['one by one', 'bench/one-by-one.ts']] as const

const rows = []
for (const [name, entry] of servers) {
  await using server = await startServer(entry)
  const pairs = await Promise.all(Array.from({ length: Number(values.pairs) }, (_, i) => openPair(server, i)))
  await closedLoop(pairs, 2, performance.now() + WARM_UP_MS) // compiled code, prepared statements
  await settled(pairs)
  for (const load of loads) rows.push({ server: name, ...await measure(server, pairs, load) })
  await Promise.all(pairs.map(pair => pair.end()))
}
console.table(rows)
for (const { name } of loads) {
  const [echo, other] = rows.filter(row => row.load === name)
  console.log(
    `${name}: ${(echo!['messages/s'] / other!['messages/s']).toFixed(1)} times the messages, p99 to receipt ${(echo!['receipt p99 ms'] / other!['receipt p99 ms']).toFixed(2)} times`
  )
}

async function measure (server: Server, pairs: Pair[], { name, run }: Load) {
  for (const pair of pairs) pair.toDevice.length = pair.toReceipt.length = 0
  const [cpuBefore, began] = [await server.cpu(), performance.now()]
  await run(pairs, began + seconds * 1_000)
  await settled(pairs)
  const [elapsed, cpu] = [(performance.now() - began) / 1_000, await server.cpu()]
  const toDevice = pairs.flatMap(pair => pair.toDevice).sort((a, b) => a - b)
  const toReceipt = pairs.flatMap(pair => pair.toReceipt).sort((a, b) => a - b)
  return {
    load: name,
    'messages/s': Math.round(toReceipt.length / elapsed),
    'device p50 ms': quantile(toDevice, 0.5),
    'device p99 ms': quantile(toDevice, 0.99),
    'receipt p50 ms': quantile(toReceipt, 0.5),
    'receipt p99 ms': quantile(toReceipt, 0.99),
    'CPU server %': Math.round((cpu.server - cpuBefore.server) / elapsed * 100),
    'CPU postgres %': Math.round((cpu.postgres - cpuBefore.postgres) / elapsed * 100)
  }
}

async function atRate (pairs: Pair[], perSecond: number, until: number): Promise<void> {
  const sending: Array<Promise<void>> = []
  const began = performance.now()
  for (let sent = 0; performance.now() < until; sent++) {
    const due = began + sent * 1_000 / perSecond
    if (due > performance.now()) await new Promise(resolve => setTimeout(resolve, due - performance.now()))
    sending.push(pairs[sent % pairs.length]!.send())
  }
  await Promise.all(sending)
}

async function closedLoop (pairs: Pair[], inFlight: number, until: number): Promise<void> {
  await Promise.all(pairs.flatMap(pair => Array.from({ length: inFlight }, async () => {
    while (performance.now() < until) await pair.send()
  })))
}

/** Every message sent so far has reached its device, and the sender has its receipt. */
async function settled (pairs: Pair[]): Promise<void> {
  const deadline = performance.now() + SETTLE_TIMEOUT_MS
  while (pairs.some(pair => pair.waiting() > 0)) {
    if (performance.now() > deadline) throw new Error('some messages never got their receipt')
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

function quantile (sorted: number[], share: number): number {
  return Number((sorted[Math.floor(sorted.length * share)] ?? 0).toFixed(1))
}
