/** A pump between a log and a connection that this file moves step by step. */
import { expect, test } from 'vitest'
import { encodeBody, eventObject } from '../../../core/events.ts'
import { type WakeEvent } from '../../../messaging/deliver/wakes.ts'
import { Pump, WINDOW, type PumpEvent } from '../../../messaging/deliver/pump.ts'
import { seededRandom } from '../../chaos/random.ts'

const EPOCH = 'e'
const body = (mark: string): PumpEvent['body'] => encodeBody(EPOCH, 'message_edited', { mark })
const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

/** A log of `size` events; reads are answered when they are released. */
function setUp (size: number): {
  pump: Pump
  written: PumpEvent[]
  /** Events that were lost, doubled or out of order. */
  wrong: string[]
  marks: () => string[]
  log: { end: number, cutTo: number, mark: string }
  release: () => Promise<void>
  reads: () => number
  clock: { now: number }
  /** What is written next is not below this. */
  expectNext: (seq: number) => void
} {
  const written: PumpEvent[] = []
  const waiting: Array<() => void> = []
  const log = { end: size, cutTo: 0, mark: 'first' }
  const clock = { now: 1_000 }
  const wrong: string[] = []
  let reads = 0
  let next = 1
  const pump = new Pump({
    epoch: EPOCH,
    userId: 'ann',
    deviceId: 'phone',
    connection: {
      write (events) {
        for (const { seq } of events) {
          if (seq !== next && seq !== log.cutTo + 1) wrong.push(`${seq} instead of ${next}`)
          next = seq + 1
        }
        written.push(...events)
        return true
      }
    },
    async readLog (_userId, seq, limit) {
      reads++
      await new Promise<void>(resolve => waiting.push(resolve))
      const first = Math.max(seq, log.cutTo) + 1
      const length = Math.max(0, Math.min(limit, log.end - first + 1))
      return Array.from({ length }, (_, i) => ({ seq: first + i, body: body(log.mark) }))
    },
    onAcknowledged () {},
    tracked: true,
    now: () => clock.now
  })
  return {
    pump,
    written,
    wrong,
    marks: () => written.map(event => String(eventObject(event.seq, event.body).mark)),
    log,
    async release () { waiting.shift()?.(); await turn() },
    reads: () => reads,
    expectNext (seq) { next = Math.max(next, seq) },
    clock
  }
}

const acknowledge = (pump: Pump, from: number, to: number): void => {
  for (let seq = from; seq <= to; seq++) pump.acknowledge(seq)
}

test('the next page is read while the window is full, and no further one', async () => {
  const { pump, written, release, reads } = setUp(1_000)
  pump.start(0, 1_000)
  await release()
  expect([written.length, reads()]).toEqual([WINDOW, 2])
  await release()
  await release()
  expect([written.length, reads()]).toEqual([WINDOW, 2])
  acknowledge(pump, 1, WINDOW)
  expect(written.length).toBe(2 * WINDOW) // without a read in between
  expect(pump.inFlight).toBe(WINDOW)
})

test('what was read ahead is read again when it is old: an edit since then holds', async () => {
  const { pump, marks, log, release, clock } = setUp(2 * WINDOW)
  pump.start(0, 2 * WINDOW)
  await release()
  await release()
  log.mark = 'edited'
  clock.now += 1_001
  acknowledge(pump, 1, WINDOW)
  await release()
  expect(marks()).toEqual([...Array(WINDOW).fill('first'), ...Array(WINDOW).fill('edited')])
})

test('a log that is cut off behind what was read ahead goes on where it begins', async () => {
  const { pump, written, log, release } = setUp(1_000)
  pump.start(0, 1_000)
  await release()
  await release()
  // All at once, so that the pages do not end where the log does.
  const acknowledgeAtOnce = (from: number, to: number): void => {
    acknowledge(pump, from + 1, to)
    pump.acknowledge(from)
  }
  acknowledgeAtOnce(1, 40)
  log.cutTo = 500
  await release()
  acknowledgeAtOnce(41, 100)
  await release()
  acknowledgeAtOnce(101, 2 * WINDOW)
  await release()
  const seqs = written.map(event => event.seq)
  expect(seqs.slice(2 * WINDOW - 1, 2 * WINDOW + 2)).toEqual([2 * WINDOW, 501, 502])
  acknowledge(pump, 501, 510)
  expect(pump.ackedSeq).toBe(510)
})

test('late wakes, reads, acknowledgements and jumps in any order lose, double and reorder nothing', async () => {
  for (let seed = 1; seed <= 400; seed++) {
    const random = seededRandom(`pump ${seed}`)
    const { pump, wrong, log, release, clock, expectNext } = setUp(Math.floor(random.between(0, 600)))
    const wakes: WakeEvent[] = []
    pump.start(0, log.end)
    for (let step = 0; step < 600 && (step < 300 || pump.ackedSeq < log.end); step++) {
      const dice = step < 300 ? random.between(0, 1) : random.between(0.4, 0.8)
      if (dice < 0.2) {
        for (let i = Math.floor(random.between(1, 6)); i > 0; i--) {
          wakes.push({
            userId: 'ann', seq: ++log.end, body: random.chance(0.9) ? body('live') : undefined
          })
        }
      } else if (dice < 0.35) {
        if (wakes.length > 0) pump.wake(wakes.splice(0))
      } else if (dice < 0.4) {
        pump.learn(log.end)
      } else if (dice < 0.6) {
        await release()
      } else if (dice < 0.92) {
        const next = pump.ackedSeq + 1
        acknowledge(pump, next + 1, next + Math.floor(random.between(0, 64)))
        pump.acknowledge(next)
      } else if (dice < 0.94) {
        const to = Math.min(pump.knownSeq, pump.ackedSeq + Math.floor(random.between(0, 100)))
        expectNext(to + 1)
        pump.skipTo(to)
      } else {
        clock.now += 600
      }
      if (step === 300) pump.learn(log.end)
      expect(pump.inFlight).toBeLessThanOrEqual(WINDOW)
    }
    expect([seed, pump.ackedSeq, wrong]).toEqual([seed, log.end, []])
  }
})
