/**
 * Refuses early what could only be answered late: `overloaded`, while the event loop is late or memory runs
 * out. A process that is only busy refuses nothing.
 */
import underPressure from '@fastify/under-pressure'
import { totalmem } from 'node:os'
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
const SHARE_OF_MEMORY = 0.9

export interface Overload {
  /** Throws `unavailable`. */
  admit (): void
  /** `routes` must be a scope of its own: those outside of it, like /health, go on answering. */
  refuseRequests (routes: Pick<App, 'addHook'>): void
}

export async function createOverload (
  app: App, limits: OverloadLimits = defaultLimits()
): Promise<Overload> {
  // Without a limit of its own it only measures.
  await app.register(underPressure, { sampleInterval: limits.sampleMs })

  function admit (): void {
    const { eventLoopDelay, heapUsed, rssBytes } = app.memoryUsage()
    if (eventLoopDelay > limits.eventLoopDelayMs) refuse('eventLoopDelay', 'is behind with its work')
    if (heapUsed > limits.heapBytes) refuse('heapUsedBytes', 'is short of memory')
    if (rssBytes > limits.residentBytes) refuse('rssBytes', 'is short of memory')
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
