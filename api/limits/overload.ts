/**
 * Refuses early what could only be answered late: `overloaded`, while the event loop is late or memory runs
 * out. A process that is only busy refuses nothing.
 */
import { totalmem } from 'node:os'
import { monitorEventLoopDelay } from 'node:perf_hooks'
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
  /** For how long what was measured holds. */
  sampleMs: number
}

/**
 * A loop this late on average answers in seconds. 50 pairs with 20 messages in flight each make it 9 to 13
 * ms.
 */
const EVENT_LOOP_DELAY_MS = 500
const SAMPLE_MS = 1_000
/** A timer each 10 ms, as libraries set it to see how late the loop is, takes a quarter of an idle node. */
const TIMERS_PER_SAMPLE = 4
const SHARE_OF_MEMORY = 0.9

export interface Overload {
  /** Throws `unavailable`. */
  admit (): void
  /** `routes` must be a scope of its own: those outside of it, like /health, go on answering. */
  refuseRequests (routes: Pick<App, 'addHook'>): void
}

export function createOverload (app: App, limits: OverloadLimits = defaultLimits()): Overload {
  const load = measureLoad(limits.sampleMs)
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

/** Measures when somebody asks, at most once per sample. */
function measureLoad (
  sampleMs: number
): { current (): Omit<OverloadLimits, 'sampleMs'>, stop (): void } {
  const resolution = Math.ceil(sampleMs / TIMERS_PER_SAMPLE)
  const delays = monitorEventLoopDelay({ resolution })
  delays.enable()
  let sampledAt = -Infinity
  let sample: Omit<OverloadLimits, 'sampleMs'>
  return {
    current () {
      const now = performance.now()
      if (now - sampledAt >= sampleMs) {
        const { rss, heapUsed } = process.memoryUsage()
        sample = {
          eventLoopDelayMs: delays.count === 0 ? 0 : delays.mean / 1e6 - resolution,
          heapBytes: heapUsed,
          residentBytes: rss
        }
        delays.reset()
        sampledAt = now
      }
      return sample
    },
    stop: () => delays.disable()
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
