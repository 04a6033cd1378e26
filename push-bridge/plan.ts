/**
 * What of the pending is sent now.
 *
 * The first push to a device goes out at once. What comes within `mergeMs` of it
 * is held until then, and is one push for each conversation by that time.
 */
import { type PushDevice, type PendingPush } from '../store/push-due.ts'

export interface DevicePlan {
  device: PushDevice
  /** Set: nothing is sent before. */
  heldUntil: Date | undefined
  send: PendingPush[]
}

/** `told` knows what a device was told of although its record does not say so yet. */
export function planDevices (devices: PushDevice[], { now, mergeMs, told }: {
  now: Date, mergeMs: number, told: (device: PushDevice, pending: PendingPush) => boolean
}): DevicePlan[] {
  return devices.map(device => {
    const send = device.pending.filter(pending => !told(device, pending))
    const quietAt = (device.pushed_at?.getTime() ?? -Infinity) + mergeMs
    // A clock that was ahead must not silence a device: never held for longer than mergeMs.
    const held = send.length > 0 && quietAt > now.getTime() && quietAt <= now.getTime() + mergeMs
    return held ? { device, heldUntil: new Date(quietAt), send: [] } : { device, heldUntil: undefined, send }
  })
}
