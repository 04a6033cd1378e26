/**
 * What of the pending is sent now.
 *
 * The first push to a device goes out at once. What comes within `mergeMs` of it
 * is held until then, and is one push for each conversation by that time. What
 * would be more than a push service takes for one device waits and merges too.
 */
import { type PushDevice, type PendingPush } from '../store/push/pending.ts'
import { allowance, spend } from './pace/device-pace.ts'

export interface DevicePlan {
  device: PushDevice
  /** What is not sent now waits until then; undefined when nothing waits. */
  heldUntil: Date | undefined
  send: PendingPush[]
  /** The device's pace after sending; undefined when nothing is sent. */
  pacedUntil?: Date
}

/** `told` knows what a device was told of although its record does not say so yet. */
export function planDevices (devices: PushDevice[], { now, mergeMs, told }: {
  now: Date, mergeMs: number, told: (device: PushDevice, pending: PendingPush) => boolean
}): DevicePlan[] {
  return devices.map(device => {
    const untold = device.pending.filter(pending => !told(device, pending))
    const quietAt = (device.pushed_at?.getTime() ?? -Infinity) + mergeMs
    // A clock that was ahead must not silence a device: never held for longer than mergeMs.
    const held = untold.length > 0 && quietAt > now.getTime() && quietAt <= now.getTime() + mergeMs
    if (held) return { device, heldUntil: new Date(quietAt), send: [] }
    const { count, moreAt } = allowance(device, now)
    // The oldest go first: what has to wait then lies behind what was told.
    const chosen = new Set(untold.toSorted((a, b) => a.first_seq - b.first_seq).slice(0, count))
    const send = untold.filter(pending => chosen.has(pending))
    return {
      device,
      heldUntil: send.length < untold.length ? moreAt : undefined,
      send,
      pacedUntil: send.length > 0 ? spend(device, send.length, now) : undefined
    }
  })
}
