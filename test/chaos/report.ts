/** What a run prints. */
import { type Violation } from './checks.ts'
import { type Comings, type Device } from './device.ts'
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
  const received = ledger.devices.reduce(
    (sum, { connections }) => sum + connections.reduce((n, events) => n + events.length, 0), 0
  )
  const distinct = devices.reduce((sum, { lastSeq, record }) => sum + lastSeq - record.startSeq, 0)
  console.table({
    'messages sent': sends.length,
    'messages accepted': sends.filter(send => send.acceptances.length > 0).length,
    'messages sent more than once': sends.filter(send => send.attempts > 1).length,
    'probe messages': everySend.length - sends.length,
    'reads accepted': ledger.reads.length,
    'messages whose status was watched': ledger.watched.size,
    devices: devices.length,
    'events received by devices': received,
    'of them again after a reconnect': received - distinct,
    'connections made': total('connected'),
    'refused or unanswered': total('refused'),
    'ended by DISCONNECT': total('left'),
    'ended without a word': total('vanished'),
    'left half-open': total('halfOpen'),
    'ended by the server': total('lost'),
    'stopped reading for a while': total('dozed'),
    'seconds until all had caught up': settledMs === undefined ? 'never' : seconds(settledMs)
  })
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
