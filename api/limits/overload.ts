/**
 * Refuses early what could only be answered late: `overloaded`, while the event loop is late or memory runs
 * out. A process that is only busy refuses nothing.
 */
import { totalmem } from 'node:os'
import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks'
import { getHeapStatistics } from 'node:v8'
import { overloaded } from '../../core/errors.ts'
import { countTurnedAway } from '../../messaging/send/trace.ts'
import { type App } from '../app.ts'
import { overloadedTotal } from '../metrics.ts'

export interface OverloadLimits {
  /** Mean lateness of timers within one sample. */
  eventLoopDelayMs: number
  heapBytes: number
  residentBytes: number
  sampleMs: number
}

/**
 * A loop this late on average answers in seconds. 50 pairs with 20 messages in flight each make it 9 to 13
 * ms.
 */
const EVENT_LOOP_DELAY_MS = 500
const SAMPLE_MS = 1_000
/** How often it is looked how late the loop is: far more often than what is late. */
const RESOLUTION_MS = 10
/** Measured without being asked for; requests to a loop that is late come slowly. */
const SILENT_SAMPLES = 10
const SHARE_OF_MEMORY = 0.9

export interface Overload {
  /** Throws `unavailable`. */
  admit (): void
  /** `routes` must be a scope of its own: those outside of it, like /health, go on answering. */
  refuseRequests (routes: Pick<App, 'addHook'>): void
}

export function createOverload (app: App, limits: OverloadLimits = defaultLimits()): Overload {
  const load = createLoadMeter(limits.sampleMs)
  app.addHook('onClose', () => load.stop())

  function admit (): void {
    const { eventLoopDelayMs, heapBytes, residentBytes } = load.current()
    if (eventLoopDelayMs > limits.eventLoopDelayMs) refuse('eventLoopDelay', 'is behind with its work')
    if (heapBytes > limits.heapBytes) refuse('heapUsedBytes', 'is short of memory')
    if (residentBytes > limits.residentBytes) refuse('rssBytes', 'is short of memory')
  }

  return {
    admit,
    refuseRequests (routes) {
      routes.addHook('onRequest', async request => {
        try {
          admit()
        } catch (error) {
          if (request.routeOptions.config.sends === true) countTurnedAway('rest', error)
          throw error
        }
      })
    }
  }
}

type Load = Omit<OverloadLimits, 'sampleMs'>

/**
 * Measures from when somebody asks until nobody has for some samples: the timer that sees how late the loop
 * is would take a quarter of what an idle node takes. The first answer says nothing of the time before.
 */
function createLoadMeter (sampleMs: number): { current (): Load, stop (): void } {
  let delays: IntervalHistogram | undefined
  let timer: NodeJS.Timeout | undefined
  let silent = 0
  let load: Load
  let [count, sum] = [0, 0]

  function measure (eventLoopDelayMs: number): void {
    const { rss, heapUsed } = process.memoryUsage()
    load = { eventLoopDelayMs, heapBytes: heapUsed, residentBytes: rss }
  }

  // A reset would forget the delay that goes on: the next one would count from its end.
  function sample (): void {
    const [countBefore, sumBefore] = [count, sum]
    count = delays!.count
    sum = count === 0 ? 0 : delays!.mean * count
    measure(count === countBefore ? 0 : (sum - sumBefore) / (count - countBefore) / 1e6 - RESOLUTION_MS)
    if (++silent > SILENT_SAMPLES) stop()
  }

  function stop (): void {
    clearInterval(timer)
    timer = undefined
    delays?.disable()
  }

  return {
    current () {
      silent = 0
      if (timer === undefined) {
        // An old one would count the silence as late.
        delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
        delays.enable()
        ;[count, sum] = [0, 0]
        measure(0)
        timer = setInterval(sample, sampleMs).unref()
      }
      return load
    },
    stop
  }
}

function refuse (reason: string, detail: string): never {
  overloadedTotal.inc({ reason })
  throw overloaded(`the server ${detail}`)
}

export const defaultLimits = (): OverloadLimits => ({
  eventLoopDelayMs: EVENT_LOOP_DELAY_MS,
  heapBytes: getHeapStatistics().heap_size_limit * SHARE_OF_MEMORY,
  residentBytes: memoryLimit() * SHARE_OF_MEMORY,
  sampleMs: SAMPLE_MS
})

/** The memory of the container; without one, of the machine. */
const memoryLimit = (): number => {
  const granted = process.constrainedMemory() ?? 0
  return granted > 0 && granted < totalmem() ? granted : totalmem()
}
