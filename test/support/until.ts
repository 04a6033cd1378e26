// How long something takes is decided by the machine. Only what never happens is wrong.
const DEFAULT_DEADLINE_MS = 60_000
const PAUSE_MS = 5

/**
 * Waits until `condition` gives something truthy and returns that; throws when it has not after
 * `deadlineMs`.
 */
export async function until<T> (
  condition: () => T | Promise<T>, what: string, deadlineMs = DEFAULT_DEADLINE_MS
): Promise<Exclude<T, false | null | undefined>> {
  const deadline = performance.now() + deadlineMs
  for (;;) {
    const value = await condition()
    if (value) return value as Exclude<T, false | null | undefined>
    if (performance.now() > deadline) throw new Error(`after ${deadlineMs} ms still not true: ${what}`)
    await new Promise(resolve => setTimeout(resolve, PAUSE_MS))
  }
}
