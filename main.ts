/** The process: environment, signals, exit. All roles, or those named as arguments. */
import { loadConfig } from './config.ts'
import { readEnvironment } from './environment.ts'
import { leave, stop, stopSignals } from './lifecycle.ts'
import { createLog, isReadByPeople, logWhatOthersSay } from './log.ts'
import { reasonOf } from './start-failures.ts'
import { startSystem } from './system.ts'
import { announce } from './welcome.ts'

try {
  const config = loadConfig(readEnvironment(), process.argv.slice(2))
  const log = createLog(config.logLevel)
  logWhatOthersSay(log)
  for (const warning of config.warnings) log.warn(warning)
  const abort = new AbortController()
  const { first, again } = stopSignals()
  const stopping = first.then(signal => {
    log.info({ signal, delay_ms: config.stopDelayMs }, 'stopping')
    abort.abort(new Error(`stopped by ${signal} while starting`))
  })
  const system = await startSystem(config, { log, signal: abort.signal })
  await announce(config, system, log)
  await stopping
  await leave(system, { delayMs: config.stopDelayMs, signal: again })
  await stop(system, log)
} catch (error) {
  const reason = reasonOf(error)
  // For whoever typed the command, and for whatever collects the log.
  process.stderr.write(`Echo did not start: ${reason}\n`)
  if (!isReadByPeople()) createLog('info').fatal({ reason }, 'Echo did not start')
  process.exit(1)
}
