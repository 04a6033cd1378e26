import { setTimeout as sleep } from 'node:timers/promises'
import { type Logger } from 'pino'
import { type Postmaster } from './postmaster.ts'

const FIRST_DELAY_MS = 50
const MAX_DELAY_MS = 5_000
// A server that lived this long begins with the shortest delay again.
const STABLE_MS = 60_000

/** Starts the server again whenever it ends by itself. `stop` ends both. */
export function startSupervisor (
  first: Postmaster, launch: (signal: AbortSignal) => Promise<Postmaster>, log: Logger
): { stop (): Promise<void> } {
  const stopping = new AbortController()
  let current: Postmaster | undefined = first

  async function keepRunning (): Promise<void> {
    let delayMs = FIRST_DELAY_MS
    while (current) {
      const startedAt = performance.now()
      const end = await current.ended
      if (stopping.signal.aborted) return
      current = undefined
      log.error({ end }, 'PostgreSQL ended unexpectedly and is started again')
      if (performance.now() - startedAt > STABLE_MS) delayMs = FIRST_DELAY_MS
      while (!current && await pause(delayMs)) {
        delayMs = Math.min(delayMs * 2, MAX_DELAY_MS)
        try {
          current = await launch(stopping.signal)
          log.info('PostgreSQL runs again')
        } catch (err) {
          if (!stopping.signal.aborted) log.error({ err }, 'PostgreSQL could not be started again')
        }
      }
    }
  }

  // False once it is time to stop.
  async function pause (ms: number): Promise<boolean> {
    return await sleep(ms, true, { signal: stopping.signal }).catch(() => false)
  }

  const running = keepRunning()
  return {
    async stop () {
      stopping.abort()
      await current?.stop()
      await running
      // A launch may have succeeded in the moment of stopping.
      await current?.stop()
    }
  }
}
