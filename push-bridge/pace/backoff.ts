/** How long to wait before the next try. */

const MAX_RETRY_MS = 3_600_000

/**
 * Doubles with every attempt (the first is 1), up to an hour. Up to half of it is added
 * by chance, so that what failed together does not come back together.
 */
export function retryDelayMs (attempts: number, baseMs: number, random: () => number): number {
  const delayMs = baseMs * 2 ** Math.min(attempts - 1, 30)
  return Math.min(MAX_RETRY_MS, Math.round(delayMs * (1 + random() / 2)))
}
