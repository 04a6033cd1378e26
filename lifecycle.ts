/** Opening one after the other, closing newest first; signals and the deadline for stopping. */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Logger } from 'pino'

/** From the first thing that closes on. */
export const STOP_WITHIN_MS = 30_000
const SAME_SIGNAL_MS = 500

/** The resources opened so far. Starting is all or nothing: a start that fails half-way closes them. */
export class Opened implements AsyncDisposable {
  readonly #resources: AsyncDisposable[] = []

  async add<T extends AsyncDisposable> (opening: Promise<T> | T): Promise<T> {
    const resource = await opening
    this.#resources.push(resource)
    return resource
  }

  /** Closes everything, also when something fails to close; throws the first failure afterwards. */
  async [Symbol.asyncDispose] (): Promise<void> {
    const failures: unknown[] = []
    for (let resource = this.#resources.pop(); resource !== undefined; resource = this.#resources.pop()) {
      try {
        await resource[Symbol.asyncDispose]()
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw failures[0]
  }
}

export interface StopSignals {
  /** Resolves with the first SIGINT or SIGTERM. */
  first: Promise<NodeJS.Signals>
  /**
   * Aborts with a later one: somebody does not want to wait. One that comes at once is the first one again,
   * because npm passes on what its whole process group gets.
   */
  again: AbortSignal
}

export function stopSignals (): StopSignals {
  const again = new AbortController()
  let firstAt: number | undefined
  const first = new Promise<NodeJS.Signals>(resolve => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.on(signal, () => {
        firstAt ??= performance.now()
        if (performance.now() - firstAt > SAME_SIGNAL_MS) again.abort()
        resolve(signal)
      })
    }
  })
  return { first, again: again.signal }
}

/** The time in which load balancers find out, unless `signal` ends it: everything is served as before. */
export async function leave (
  system: { leave (): void }, { delayMs, signal }: { delayMs: number, signal: AbortSignal }
): Promise<void> {
  system.leave()
  await sleep(delayMs, undefined, { signal }).catch(() => {}) // the only error is the abort
}

/**
 * Closes the system and ends the process, even if something still holds it; exit code 1 when the deadline
 * passes.
 */
export async function stop (system: AsyncDisposable, log: Logger): Promise<never> {
  const deadline = setTimeout(() => {
    log.error({ within_ms: STOP_WITHIN_MS }, 'stopping took too long; the process ends now')
    process.exit(1)
  }, STOP_WITHIN_MS)
  try {
    await system[Symbol.asyncDispose]()
    log.info('stopped')
    process.exit(0)
  } catch (error) {
    log.error({ err: error }, 'something failed while stopping')
    process.exit(1)
  } finally {
    clearTimeout(deadline)
  }
}
