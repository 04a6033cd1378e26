/** Echo as main.ts runs it, except that what died is missed sooner. For tests that wait for that. */
import { loadConfig } from '../../config.ts'
import { stop, stopSignals } from '../../lifecycle.ts'
import { createLog } from '../../log.ts'
import { startSystem } from '../../system.ts'
import { announce } from '../../welcome.ts'

/** A process that hangs for 3 s on a busy machine is still there. */
const TIMINGS = { heartbeatMs: 500, nodeLeaseMs: 4_000, willRoundMs: 1_500, offlineAfterMs: 2_000 }

const config = loadConfig(process.env, process.argv.slice(2))
const log = createLog(config.logLevel)
const { first: stopping } = stopSignals()
const system = await startSystem(config, { log, timings: TIMINGS })
await announce(config, system, log)
await stopping
await stop(system, log)
