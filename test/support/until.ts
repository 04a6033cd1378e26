// How long something takes is decided by the machine. Only what never happens is wrong.
const DEFAULT_DEADLINE_MS = 60_000
const SHORTEST_PAUSE_MS = 5
const LONGEST_PAUSE_MS = 50

/**
 * Waits until `condition` gives something truthy and returns that; throws when it has not after
 * `deadlineMs`.
 */
export async function until<T> (
  condition: () => T | Promise<T>, what: string, deadlineMs = DEFAULT_DEADLINE_MS
): Promise<Exclude<T, false | null | undefined>> {
  const begun = performance.now()
  for (;;) {
    const value = await condition()
    if (value) return value as Exclude<T, false | null | undefined>
    const waitedMs = performance.now() - begun
    if (waitedMs > deadlineMs) throw new Error(`after ${deadlineMs} ms still not true: ${what}`)
    // What takes long is asked more rarely: asking costs what others need.
    const pauseMs = Math.min(Math.max(SHORTEST_PAUSE_MS, waitedMs / 10), LONGEST_PAUSE_MS)
    await new Promise(resolve => setTimeout(resolve, pauseMs))
  }
}
