/** How long to wait before the next attempt: full jitter, and at least what the server asked for. */

export interface Backoff {
  /** The first wait lies between 0 and this. */
  baseMs: number
  maxMs: number
}

export const BACKOFF: Backoff = { baseMs: 500, maxMs: 30_000 }

/** `attempt` counts from 0. */
export function delayMs (
  { baseMs, maxMs }: Backoff, attempt: number, random: () => number, toldMs = 0
): number {
  const ceiling = Math.min(maxMs, baseMs * 2 ** Math.min(attempt, 30))
  // Jitter comes on top of what was told: else all who were told the same come back together.
  return Math.round(toldMs + random() * ceiling)
}
