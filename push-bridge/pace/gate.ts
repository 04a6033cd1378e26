/**
 * What concerns the whole bridge: when nothing is taken, and how fast it may send.
 *
 * Blocked (credentials, permissions) or out of reach, it stays closed for a while, longer each
 * time, and one batch then tries again. After a 429 it sends at half the rate it had, which grows
 * by a tenth with every second without another; when most of a batch got a 429 it also waits for
 * as long as FCM asks.
 */
import { type Logger } from 'pino'
import { retryDelayMs } from './backoff.ts'
import { paused, rateLimit } from '../metrics.ts'
import { type Push, type PushResult } from '../sender.ts'

const BLOCKED_BASE_MS = 5_000
const UNREACHABLE_BASE_MS = 1_000
const LONGEST_CLOSED_MS = 300_000
const MEASURED_MS = 10_000
const MIN_RATE = 1
/** A rate that has grown to this is no limit any more: FCM's default quota for a project, per second. */
const NO_LIMIT = 10_000
const GROWTH_PER_SECOND = 1.1

export interface PushHealth { ok: boolean, detail?: string }

export interface Gate {
  /** For how long nothing may be sent. */
  waitMs (): number
  learn (pushes: Push[], results: PushResult[]): void
  /** When what was blocked may be tried again; undefined while nothing is. */
  closedUntil (): Date | undefined
  health (): PushHealth
}

export function createGate ({ now, random, log }: {
  now: () => number, random: () => number, log: Logger
}): Gate {
  let failures = 0
  let closedUntil = 0
  let reason: string | undefined
  let refusedPlatforms = new Set<string>()
  let rate = Infinity
  let rateAt = 0
  let spacedUntil = 0
  let sent: Array<{ at: number, count: number }> = []

  function close (baseMs: number, because: string): void {
    const ms = Math.min(LONGEST_CLOSED_MS, retryDelayMs(++failures, baseMs, random))
    closedUntil = Math.max(closedUntil, now() + ms)
    if (reason !== because) {
      log.error({ reason: because, again_in_ms: ms }, 'nothing can be pushed; what is due is kept')
    }
    reason = because
    paused.set(1)
  }

  function open (): void {
    if (reason !== undefined) log.info('pushes are taken again')
    failures = 0
    reason = undefined
    paused.set(0)
  }

  function slow (afterMs: number, most: boolean): void {
    const perSecond = sent.reduce((sum, { count }) => sum + count, 0) * 1_000 / MEASURED_MS
    rate = Math.max(MIN_RATE, Math.min(currentRate(), perSecond) / 2)
    rateAt = now() + (most ? afterMs : 0)
    rateLimit.set(rate)
    if (most) spacedUntil = Math.max(spacedUntil, now() + afterMs)
    log.warn(
      { pushes_per_second: rate, again_in_ms: most ? afterMs : 0 },
      'FCM takes no more for now; the bridge sends more slowly'
    )
  }

  function currentRate (): number {
    if (rate === Infinity) return rate
    const grown = rate * GROWTH_PER_SECOND ** Math.max(0, (now() - rateAt) / 1_000)
    if (grown < NO_LIMIT) return grown
    rate = Infinity
    rateLimit.set(0)
    return rate
  }

  return {
    waitMs: () => Math.max(0, closedUntil - now(), spacedUntil - now()),
    closedUntil: () => reason === undefined ? undefined : new Date(Math.max(closedUntil, now())),
    health () {
      if (reason !== undefined) return { ok: false, detail: reason }
      if (refusedPlatforms.size > 0) {
        const platforms = [...refusedPlatforms].join(' and ')
        return {
          ok: false,
          detail: `FCM is refused by the push service behind ${platforms}: its key is missing or wrong`
        }
      }
      return spacedUntil > now() ? { ok: true, detail: 'FCM takes no more for now' } : { ok: true }
    },
    learn (pushes, results) {
      if (results.length === 0) return
      const at = now()
      sent = sent.filter(entry => entry.at > at - MEASURED_MS)
      sent.push({ at, count: results.length })
      refusedPlatforms = platformsRefused(refusedPlatforms, pushes, results)
      const blocked = results.find(result => result.outcome === 'blocked')
      if (blocked !== undefined) {
        close(BLOCKED_BASE_MS, blocked.detail)
      } else if (results.every(isNetworkFailure)) {
        close(UNREACHABLE_BASE_MS, 'the push service cannot be reached')
      } else open()
      const refusals = results.flatMap(result =>
        result.outcome === 'retry' && result.reason === 'quota' ? [result.afterMs ?? 0] : [])
      const limit = currentRate()
      if (refusals.length > 0) {
        slow(Math.max(...refusals), refusals.length * 2 > results.length)
      } else if (limit < Infinity) {
        spacedUntil = Math.max(spacedUntil, at) + results.length / limit * 1_000
      }
    }
  }
}

const isNetworkFailure = (result: PushResult): boolean => result.outcome === 'retry' &&
  result.reason === 'network'

function platformsRefused (known: Set<string>, pushes: Push[], results: PushResult[]): Set<string> {
  const refused = new Set(known)
  results.forEach((result, i) => {
    if (result.outcome === 'ok') refused.delete(pushes[i]!.platform)
    else if (result.outcome === 'retry' && result.reason === 'third_party_auth') {
      refused.add(pushes[i]!.platform)
    }
  })
  return refused
}
