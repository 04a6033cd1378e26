/** What a run prints. */
import { type Violation } from './checks.ts'
import { type Comings, type Device, type DoorKind } from './devices/device.ts'
import { describe, type Fault } from './faults.ts'
import { type Ledger } from './ledger.ts'
import { isProbe } from './probe.ts'

const SHOWN_PER_PROMISE = 20

export interface FaultResult {
  /** At once. */
  faults: Fault[]
  atMs: number
  /** Until a message came through at all, and until it did through every API to every broker. */
  firstMs: number
  wholeMs: number
}

const describeAll = (faults: Fault[]): string => faults.map(describe).join(' and ')
const seconds = (ms: number): string => (ms / 1_000).toFixed(1)

export const printFault = ({ faults, atMs, firstMs, wholeMs }: FaultResult): void =>
  console.log(
    `${seconds(atMs).padStart(7)} s  ${describeAll(faults).padEnd(52)} ` +
    `first delivery after ${seconds(firstMs)} s, recovered after ${seconds(wholeMs)} s`
  )

export function printCounts (ledger: Ledger, devices: Device[], settledMs: number | undefined): void {
  const everySend = [...ledger.sends.values()]
  const sends = everySend.filter(send => !isProbe(send))
  const total = (what: keyof Comings): number => devices.reduce((sum, { comings }) => sum + comings[what], 0)
  const counts = devices.map(({ door }) => ({ kind: door.kind, ...door.counts() }))
  const sum = (what: 'received' | 'again', kind?: DoorKind): number => counts
    .filter(count => kind === undefined || count.kind === kind).reduce((n, count) => n + count[what], 0)
  console.table({
    'messages sent': sends.length,
    'messages accepted': sends.filter(send => send.acceptances.length > 0).length,
    'messages sent more than once': sends.filter(send => send.attempts > 1).length,
    'probe messages': everySend.length - sends.length,
    'reads accepted': ledger.reads.length,
    'messages whose status was watched': ledger.watched.size,
    devices: devices.length,
    'events received by devices': sum('received'),
    'of them again after a reconnect': sum('again'),
    'connections made': total('connected'),
    'refused or unanswered': total('refused'),
    'ended with a word': total('left'),
    'ended without a word': total('vanished'),
    'left half-open': total('halfOpen'),
    'ended by the server': total('lost'),
    'stopped reading for a while': total('dozed'),
    'seconds until all had caught up': settledMs === undefined ? 'never' : seconds(settledMs)
  })
  const kinds = [...new Set(counts.map(({ kind }) => kind))].toSorted()
  console.table(Object.fromEntries(kinds.map(kind => [kind, {
    devices: counts.filter(count => count.kind === kind).length,
    connections: devices.reduce((n, { door, comings }) => door.kind === kind ? n + comings.connected : n, 0),
    events: sum('received', kind),
    'of them again': sum('again', kind)
  }])))
}

export function printFaults (results: FaultResult[]): void {
  console.table(results.map(({ faults, atMs, firstMs, wholeMs }) => ({
    'at s': seconds(
      atMs
    ),
    fault: describeAll(faults),
    'first delivery s': seconds(firstMs),
    'recovered s': seconds(wholeMs)
  })))
}

export function printViolations (violations: Violation[]): void {
  const byPromise = new Map<string, string[]>()
  for (const { promise, detail } of violations) {
    byPromise.set(promise, [...byPromise.get(promise) ?? [], detail])
  }
  for (const [promise, details] of byPromise) {
    console.log(`\nBROKEN: ${promise}: ${details.length} times`)
    for (const detail of details.slice(0, SHOWN_PER_PROMISE)) console.log(`  ${detail}`)
    const more = details.length - SHOWN_PER_PROMISE
    if (more > 0) console.log(`  … and ${more} more`)
  }
  console.log(violations.length === 0 ? '\nNo violation.' : `\n${violations.length} violations.`)
}
