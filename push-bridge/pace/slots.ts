/**
 * So many at once and no more. Work that waited for too long is turned away when it would be its
 * turn, with `refuse()`.
 */

export interface Slots { run<T> (work: () => Promise<T>): Promise<T> }

export function createSlots (count: number, maxWaitMs: number, refuse: () => Error): Slots {
  let free = count
  const waiting: Array<{ until: number, start: () => void, reject: (error: Error) => void }> = []

  function release (): void {
    free++
    const now = performance.now()
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      if (next.until >= now) {
        free--
        next.start()
        return
      }
      next.reject(refuse())
    }
  }

  return {
    async run (work) {
      if (free > 0) free--
      else {
        await new Promise<void>((resolve, reject) => {
          waiting.push({ until: performance.now() + maxWaitMs, start: resolve, reject })
        })
      }
      try {
        return await work()
      } finally {
        release()
      }
    }
  }
}
