/**
 * `npm run chaos -- [--minutes 2] [--seed S] [--devices 200] [--rate 60] [--single] [--keep]`
 *
 * Runs Echo as processes, breaks them one after the other while devices come and
 * go and senders send, and checks from outside that every promise was kept.
 * Exits with 1 on any violation; then the logs of the processes stay.
 */
import { rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { startFakeFcm } from '../../tools/fake-fcm/server.ts'
import { check } from './checks.ts'
import { startCluster } from './cluster.ts'
import { readEvidence } from './evidence.ts'
import { describe, faultSequence, strike } from './faults.ts'
import { Ledger } from './ledger.ts'
import { startLoad } from './load.ts'
import { loseCommits } from './lossy.ts'
import { populate } from './population.ts'
import { openProbe } from './probe.ts'
import { seededRandom } from './random.ts'
import { printChanges } from './report-changes.ts'
import { printCounts, printFault, printFaults, printViolations, type FaultResult } from './report.ts'
import { openRest } from './rest.ts'
import { settle } from './settle.ts'

const WARM_UP_MS = 5_000
/** Faults of a minute each have a place in runs of at least so long. */
const LONG_FROM_MINUTES = 10

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '2' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    devices: { type: 'string', default: '200' },
    rate: { type: 'string', default: '60' },
    single: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false }
  }
})
const { seed, single } = values
const [minutes, deviceCount, ratePerSecond] =
  [values.minutes, values.devices, values.rate].map(Number) as [number, number, number]
if (!(minutes > 0 && minutes <= 120 && deviceCount >= 1 && deviceCount <= 2_000 && ratePerSecond > 0 &&
  ratePerSecond <= 500)) {
  console.error('--minutes is up to 120, --devices up to 2000, --rate up to 500 messages a second')
  process.exit(2)
}

const folder = await mkdtemp(join(tmpdir(), 'echo-chaos-'))
// A run that ends before its time leaves the logs behind.
let keepFolder = true
process.on(
  'exit', () => { if (!keepFolder) rmSync(folder, { recursive: true, force: true, maxRetries: 10 }) }
)
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    keepFolder = values.keep
    process.exit(130)
  })
}

const ledger = new Ledger()
const random = seededRandom(seed)
console.log(
  `seed ${seed}, ${minutes} minutes, ${deviceCount} devices, ${ratePerSecond} messages/s, ` +
  `${single ? 'one process' : '2 brokers, 2 APIs, 1 push-bridge'}; logs in ${folder}`
)

const fcm = await startFakeFcm()
const cluster = await startCluster({
  folder,
  single,
  fcmEndpoint: fcm.url,
  onCrash: (name, how) => ledger.incident(`${name} ended by itself: ${how}`)
})
const rest = openRest(cluster.apis, random.stream('rest'))
const population = await populate({ cluster, rest, ledger, random: random.stream('population'), deviceCount })
const probe = await openProbe({ cluster, rest, ledger, random: random.stream('probe') })
const devices = [...population.devices, ...probe.devices]
const living = devices.map(device => device.live())
const load =
  await startLoad({
    population, apis: cluster.apis, rest, ledger, random: random.stream('load'), ratePerSecond, fcm
  })

const began = performance.now()
await sleep(WARM_UP_MS)
await probe.whole()
const results = await strikeUntil(began + minutes * 60_000)

console.log('no more faults; every device comes back and catches up')
await load.stop()
const userIds = [...population.userIds, ...probe.userIds]
const settledMs = await settle(devices, userIds, rest)
const { unerased, pushedMs } = await load.settle()
const evidence = {
  ...await readEvidence(rest, ledger, [...userIds, ...load.userIds]), unerased, pushes: fcm.pushes
}
const violations = check(ledger, evidence)
console.log('at last a replica that is behind takes over')
violations.push(...await loseCommits({ postgres: cluster.postgres, rest, ledger, devices }))
for (const device of devices) device.close()
await Promise.all(living)
await cluster.close()
await fcm[Symbol.asyncDispose]()

printFaults(results)
printCounts(ledger, devices, settledMs)
printChanges(ledger, evidence, pushedMs)
printViolations(violations)
keepFolder = values.keep || violations.length > 0
if (violations.length > 0) {
  console.log(
    `again: npm run chaos -- --seed ${seed} --minutes ${minutes} --devices ${deviceCount} ` +
    `--rate ${ratePerSecond}${single ? ' --single' : ''}; logs in ${folder}`
  )
}
process.exit(violations.length > 0 ? 1 : 0)

async function strikeUntil (end: number): Promise<FaultResult[]> {
  const results: FaultResult[] = []
  const long = minutes >= LONG_FROM_MINUTES
  const sequence = faultSequence(cluster.parts, random.stream('faults'), { long })
  for (const faults of sequence) {
    if (performance.now() >= end) break
    const struckAt = performance.now()
    const what = faults.map(describe).join(' and ')
    ledger.struck.push(what)
    try {
      const struck = await Promise.all(faults.map(fault => strike(cluster, fault, faults.length === 1)))
      const sinceStrike = performance.now() - struckAt
      const [first] = await Promise.all([probe.first(), ...struck.map(({ healed }) => healed)])
      await probe.whole()
      const wholeMs = performance.now() - struckAt
      const result = { faults, atMs: struckAt - began, firstMs: sinceStrike + first, wholeMs }
      printFault(result)
      results.push(result)
    } catch (error) {
      console.log(`${what}: ${(error as Error).message}`)
      ledger.incident(`${what}: ${(error as Error).message}`)
    }
    const calmMs = Math.max(...faults.map(fault => fault.calmMs))
    await sleep(Math.min(calmMs, Math.max(0, end - performance.now())))
  }
  return results
}
