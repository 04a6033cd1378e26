/**
 * Echo as main.ts runs it, except that what died is missed sooner. For tests that wait for that; those that
 * wait for something else say so in TEST_TIMINGS.
 */
import { defaultLimits } from '../../api/limits/overload.ts'
import { loadConfig } from '../../config.ts'
import { stop, stopSignals } from '../../lifecycle.ts'
import { createLog } from '../../log.ts'
import { startSystem, type Timings } from '../../system.ts'
import { announce } from '../../welcome.ts'

/** A process that hangs for 3 s on a busy machine is still there, and refuses nothing for being late. */
const TIMINGS: Timings = {
  heartbeatMs: 500,
  nodeLeaseMs: 4_000,
  willRoundMs: 1_500,
  offlineAfterMs: 2_000,
  overload: { ...defaultLimits(), eventLoopDelayMs: 60_000 }
}
const more: Timings = JSON.parse(process.env.TEST_TIMINGS ?? '{}')

const config = loadConfig(process.env, process.argv.slice(2))
const log = createLog(config.logLevel)
const { first: stopping } = stopSignals()
const system = await startSystem(config, { log, timings: { ...TIMINGS, ...more } })
await announce(config, system, log)
await stopping
await stop(system, log)
