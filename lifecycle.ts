/** Opening one after the other, closing newest first; signals and the deadline for stopping. */
import { type Logger } from 'pino'

const STOP_WITHIN_MS = 30_000

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

/**
 * Resolves with the signal's name on the first SIGINT or SIGTERM. Later ones are ignored, because under npm
 * Ctrl-C reaches the process twice.
 */
export async function stopSignal (): Promise<NodeJS.Signals> {
  return await new Promise(resolve => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => resolve(signal))
  })
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
