/**
 * What the results of one claimed batch mean for the rows.
 *
 * A device's record moves up to the claim (or to the newest event it was told of)
 * when everything before is told or was not worth telling; else it stops before
 * the oldest event still to be told. A user's row goes when all devices are done.
 */
import { type ClaimedPush, type PostponedPush } from '../store/push/due.ts'
import { type PendingPush, type PushDevice } from '../store/push/pending.ts'
import { type PushRecord } from '../store/push/told.ts'
import { type DevicePlan } from './plan.ts'
import { type PushResult } from './sender.ts'

/** Behind a device that must wait, the user's other devices wait no longer than this. */
const MAX_HELD_UP_MS = 60_000

export interface Conclusion {
  records: PushRecord[]
  gone: PushDevice[]
  settled: ClaimedPush[]
  postponed: PostponedPush[]
  /** Told, but the record could not move past it: another conversation of the device failed or waits. */
  toldAhead: Array<{ device: PushDevice, pending: PendingPush }>
}

export interface ConclusionContext {
  now: Date
  /** How long to wait after this many attempts. */
  retryDelayMs: (attempts: number) => number
  /** A refused token may be given up. */
  believed: boolean
  /** Until then the push service takes nothing from the bridge; to wait for that is no failed attempt. */
  closedUntil: Date | undefined
}

export function conclude (
  claims: ClaimedPush[], plans: DevicePlan[], resultOf: (pending: PendingPush) => PushResult,
  context: ConclusionContext
): Conclusion {
  const { now, retryDelayMs, believed, closedUntil } = context
  const conclusion: Conclusion = { records: [], gone: [], settled: [], postponed: [], toldAhead: [] }
  const plansByUser = new Map<string, DevicePlan[]>(claims.map(claim => [claim.user_id, []]))
  for (const plan of plans) plansByUser.get(plan.device.user_id)?.push(plan)
  const isGone = ({ send }: DevicePlan): boolean => believed &&
    send.some(pending => resultOf(pending).outcome === 'token_gone')

  for (const claim of claims) {
    let heldUntil = Infinity
    let retryAt = -Infinity
    for (const plan of plansByUser.get(claim.user_id) ?? []) {
      if (plan.heldUntil !== undefined) heldUntil = Math.min(heldUntil, plan.heldUntil.getTime())
      if (plan.heldUntil !== undefined && plan.send.length === 0) continue
      if (isGone(plan)) {
        conclusion.gone.push(plan.device)
        // Looked at again: by now the device may have another token.
        heldUntil = now.getTime()
        continue
      }
      const failed = plan.send.filter(pending => isUnfinished(resultOf(pending), believed))
      record(conclusion, claim, plan, failed, now)
      for (const pending of failed) {
        const result = resultOf(pending)
        if (isHeldUp(result, closedUntil)) {
          heldUntil = Math.min(heldUntil, closedUntil!.getTime())
        } else {
          const afterMs = result.outcome === 'retry' ? result.afterMs ?? 0 : 0
          retryAt = Math.max(retryAt, now.getTime() + Math.max(afterMs, retryDelayMs(claim.attempts)))
        }
      }
    }
    if (retryAt > -Infinity) {
      const dueAt = heldUntil < Infinity
        ? Math.min(retryAt, Math.max(heldUntil, now.getTime() + MAX_HELD_UP_MS))
        : retryAt
      conclusion.postponed.push({ user_id: claim.user_id, due_at: new Date(dueAt), attempts: claim.attempts })
    } else if (heldUntil < Infinity) {
      // Waiting is no failure; but with no attempt at all the next message would end the wait.
      conclusion.postponed.push({ user_id: claim.user_id, due_at: new Date(heldUntil), attempts: 1 })
    } else {
      conclusion.settled.push(claim)
    }
  }
  return conclusion
}

function isUnfinished ({ outcome }: PushResult, believed: boolean): boolean {
  return outcome === 'retry' || outcome === 'blocked' ||
    (!believed && (outcome === 'token_gone' || outcome === 'token_foreign'))
}

const isHeldUp = (result: PushResult, closedUntil: Date | undefined): boolean =>
  closedUntil !== undefined &&
    (result.outcome === 'blocked' || (result.outcome === 'retry' && result.reason === 'network'))

function record (
  conclusion: Conclusion, claim: ClaimedPush, { device, send, heldUntil, pacedUntil }: DevicePlan,
  failed: PendingPush[], now: Date
): void {
  const told = send.filter(pending => !failed.includes(pending))
  const waiting = heldUntil === undefined ? [] : device.pending.filter(pending => !send.includes(pending))
  const untold = [...failed, ...waiting]
  const pushed_seq = untold.length > 0
    ? Math.min(...untold.map(pending => pending.first_seq)) - 1
    : Math.max(claim.seq, ...device.pending.map(pending => pending.last_seq))
  conclusion.records.push({
    user_id: device.user_id,
    device_id: device.device_id,
    pushed_seq,
    pushed_at: told.length > 0 ? now : undefined,
    paced_until: pacedUntil
  })
  for (const pending of told) {
    if (pending.last_seq > pushed_seq) conclusion.toldAhead.push({ device, pending })
  }
}
