/**
 * What a send asks Redis, while it holds its locks: it waits for TIMEOUT_MS, and nothing is asked
 * after an answer that did not come, until Redis has answered a probe. So a Redis that hangs costs
 * the sends of that moment TIMEOUT_MS, once.
 */
const TIMEOUT_MS = 100
const PROBE_MS = 500

export interface SendLookups extends Disposable {
  /** Undefined: Redis does not answer, or `work` could not tell. */
  ask<T> (work: () => Promise<T | undefined>): Promise<T | undefined>
}

export function createSendLookups (probe: () => Promise<unknown>): SendLookups {
  let answers = true
  let timer: NodeJS.Timeout | undefined
  let closed = false

  function doubt (): void {
    if (!answers) return
    answers = false
    tryAgain()
  }

  function tryAgain (): void {
    probe().then(() => { answers = true }, () => {
      if (!closed) timer = setTimeout(tryAgain, PROBE_MS).unref()
    })
  }

  return {
    async ask (work) {
      if (!answers) return undefined
      let waiting: NodeJS.Timeout | undefined
      const late = new Promise<undefined>(resolve => {
        // The process may have been busy: what has arrived by now is read first.
        waiting = setTimeout(() => setImmediate(() => {
          resolve(undefined)
          doubt()
        }), TIMEOUT_MS)
      })
      const asked = work()
      asked.then(() => clearTimeout(waiting), () => clearTimeout(waiting))
      return await Promise.race([asked, late])
    },
    [Symbol.dispose] () {
      closed = true
      clearTimeout(timer)
    }
  }
}
