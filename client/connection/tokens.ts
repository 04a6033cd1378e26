/**
 * The token in use. It is asked for when there is none, when it was refused, and before
 * it expires. Clocks of devices are wrong: how long it lives is what it says between `iat` and `exp`,
 * and the server's refusal has the last word.
 */

/** Why a token is asked for; `refused`: the last one is of no use any more. */
export type TokenReason = 'start' | 'expiring' | 'refused'
export type TokenSource = (reason: TokenReason) => string | Promise<string>

/** A token is replaced after this part of its life. */
const USED_UP = 0.8
/** Never more often, whatever the token says. */
const MIN_LIFE_MS = 5_000
const MAX_LIFE_MS = 24 * 3_600_000

export interface Tokens {
  current (): Promise<string>
  /** A new token, before the old one has expired. */
  renew (): Promise<string>
  /** The server did not take this one: the next one is asked for anew. */
  refuse (token: string): void
  /** Milliseconds until `renew` is due. */
  dueMs (): number
}

export function createTokens (source: TokenSource, now: () => number): Tokens {
  let held: { token: string, dueAt: number } | undefined
  let reason: TokenReason = 'start'
  let asking: Promise<string> | undefined

  async function ask (why: TokenReason): Promise<string> {
    const token = await source(why)
    held = { token, dueAt: now() + lifeMs(token, now()) * USED_UP }
    return token
  }
  const askOnce = (why: TokenReason): Promise<string> =>
    (asking ??= ask(why).finally(() => { asking = undefined }))

  return {
    current: async () => held?.token ?? await askOnce(reason),
    renew: () => askOnce('expiring'),
    refuse (token) {
      if (held?.token !== token) return
      held = undefined
      reason = 'refused'
    },
    dueMs: () => Math.max(MIN_LIFE_MS, Math.min(MAX_LIFE_MS, (held?.dueAt ?? 0) - now()))
  }
}

/** What is left of its life: by its own times where it was issued just now, else by the clock. */
function lifeMs (token: string, now: number): number {
  const { iat, exp } = claimsOf(token)
  if (exp === undefined) return MAX_LIFE_MS
  const left = exp * 1_000 - now
  const whole = iat === undefined ? left : (exp - iat) * 1_000
  return left > 0 && left < whole ? left : whole
}

function claimsOf (token: string): { iat?: number, exp?: number } {
  try {
    const payload = token.split('.')[1]!.replaceAll('-', '+').replaceAll('_', '/')
    return JSON.parse(atob(payload)) as { iat?: number, exp?: number }
  } catch {
    return {}
  }
}
