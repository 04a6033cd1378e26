/**
 * Refuses requests early that could only be answered late: 503 `overloaded`
 * while the event loop is late or memory runs out. A process that is only busy
 * refuses nothing.
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

const REASONS: Record<string, string> = {
  eventLoopDelay: 'the server is behind with its work',
  heapUsedBytes: 'the server is short of memory',
  rssBytes: 'the server is short of memory'
}

/** `app` must be a scope of its own: routes outside of it, like /health, go on answering. */
export async function refuseOverload (app: App, limits: OverloadLimits = defaultLimits()): Promise<void> {
  await app.register(underPressure, {
    maxEventLoopDelay: limits.eventLoopDelayMs,
    maxHeapUsedBytes: limits.heapBytes,
    maxRssBytes: limits.residentBytes,
    sampleInterval: limits.sampleMs,
    pressureHandler: (request, _reply, reason) => {
      overloadedTotal.inc({ reason })
      const error = overloaded(REASONS[reason] ?? 'the server has more to do than it can')
      if (request.routeOptions.config.sends === true) countTurnedAway('rest', error)
      throw error
    }
  })
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
