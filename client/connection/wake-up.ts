/** Signs that the network may be back: the browser says so, or the device has slept. */

const TICK_MS = 10_000
/** A timer that is this late was not run because nothing was. */
const ASLEEP_MS = 20_000

interface Target {
  addEventListener? (type: string, listener: () => void): void
  removeEventListener? (type: string, listener: () => void): void
}

/** What is returned ends it. */
export function watchWakeUps (now: () => number, wakeUp: (slept: boolean) => void): () => void {
  const target = globalThis as Target
  const online = (): void => wakeUp(false)
  target.addEventListener?.('online', online)
  let last = now()
  const timer = setInterval(() => {
    const slept = now() - last > TICK_MS + ASLEEP_MS
    last = now()
    if (slept) wakeUp(true)
  }, TICK_MS)
  // In Node it keeps no process alive.
  ;(timer as { unref?: () => void }).unref?.()
  return () => {
    target.removeEventListener?.('online', online)
    clearInterval(timer)
  }
}
