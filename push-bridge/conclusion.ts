/**
 * What the results of one claimed batch mean for the rows.
 *
 * A device's record moves up to the claim (or to the newest event it was told of)
 * when everything before is told or was not worth telling; else it stops before
 * the oldest event still to be told. A user's row goes when all devices are done.
 */
import { type ClaimedPush, type PendingPush, type PostponedPush, type PushDevice, type PushRecord } from '../store/push-due.ts'
import { type DevicePlan } from './plan.ts'
import { type PushResult } from './sender.ts'

/** Behind a device that must wait, the user's other devices wait no longer than this. */
const MAX_HELD_UP_MS = 60_000
/** When so many devices are gone, all at once, it is rather the configuration that is wrong. */
const SUSPICIOUS_DEVICES = 10

export interface Conclusion {
  records: PushRecord[]
  gone: PushDevice[]
  settled: ClaimedPush[]
  postponed: PostponedPush[]
  /** Told, but the record could not move past it: another conversation of the device failed. */
  toldAhead: Array<{ device: PushDevice, pending: PendingPush }>
  /** A whole batch claims to be gone: no token was given up. */
  suspicious: boolean
}

export interface ConclusionContext {
  now: Date
  /** Before the given attempt is repeated. */
  retryDelayMs: (attempts: number) => number
}

export function conclude (claims: ClaimedPush[], plans: DevicePlan[], resultOf: (pending: PendingPush) => PushResult, { now, retryDelayMs }: ConclusionContext): Conclusion {
  const conclusion: Conclusion = { records: [], gone: [], settled: [], postponed: [], toldAhead: [], suspicious: false }
  const plansByUser = new Map<string, DevicePlan[]>(claims.map(claim => [claim.user_id, []]))
  for (const plan of plans) plansByUser.get(plan.device.user_id)?.push(plan)
  const isGone = ({ send }: DevicePlan): boolean => send.some(pending => resultOf(pending).outcome === 'token_gone')
  const sending = plans.filter(plan => plan.send.length > 0)
  conclusion.suspicious = sending.length >= SUSPICIOUS_DEVICES && sending.every(isGone)

  for (const claim of claims) {
    let heldUntil = Infinity
    let retryAt = -Infinity
    for (const plan of plansByUser.get(claim.user_id) ?? []) {
      if (plan.heldUntil !== undefined) {
        heldUntil = Math.min(heldUntil, plan.heldUntil.getTime())
        continue
      }
      if (isGone(plan) && !conclusion.suspicious) {
        conclusion.gone.push(plan.device)
        // Looked at again: by now the device may have another token.
        heldUntil = now.getTime()
        continue
      }
      const failed = plan.send.filter(pending => isUnfinished(resultOf(pending)))
      record(conclusion, claim, plan, failed, now)
      for (const pending of failed) {
        const result = resultOf(pending)
        const afterMs = result.outcome === 'retry' ? result.afterMs ?? 0 : 0
        retryAt = Math.max(retryAt, now.getTime() + Math.max(afterMs, retryDelayMs(claim.attempts)))
      }
    }
    if (retryAt > -Infinity) {
      const dueAt = heldUntil < Infinity ? Math.min(retryAt, Math.max(heldUntil, now.getTime() + MAX_HELD_UP_MS)) : retryAt
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

const isUnfinished = ({ outcome }: PushResult): boolean => outcome === 'retry' || outcome === 'token_gone'

function record (conclusion: Conclusion, claim: ClaimedPush, { device, send }: DevicePlan, failed: PendingPush[], now: Date): void {
  const told = send.filter(pending => !failed.includes(pending))
  const pushed_seq = failed.length > 0
    ? Math.min(...failed.map(pending => pending.first_seq)) - 1
    : Math.max(claim.seq, ...device.pending.map(pending => pending.last_seq))
  conclusion.records.push({
    user_id: device.user_id,
    device_id: device.device_id,
    pushed_seq,
    pushed_at: told.length > 0 ? now : undefined
  })
  for (const pending of told) {
    if (pending.last_seq > pushed_seq) conclusion.toldAhead.push({ device, pending })
  }
}
