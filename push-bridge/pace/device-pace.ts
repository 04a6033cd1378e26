/**
 * How many pushes a device may get: below what FCM lets through.
 *
 * FCM treats every visible push to Android as collapsible: 20 in a burst, then one every 3
 * minutes; beyond that they come late or not at all. Otherwise it takes 240 a minute and 5,000 an
 * hour. One time per device is enough to count: each push moves it by `everyMs`, and it may lie
 * `burst` pushes ahead of now (GCRA).
 */
interface Pace { burst: number, everyMs: number }

const COLLAPSIBLE: Pace = { burst: 18, everyMs: 190_000 }
const OTHERS: Pace = { burst: 100, everyMs: 1_000 }

interface PacedDevice { platform: 'android' | 'ios' | 'web', push_paced_until: Date | null }

const paceOf = ({ platform }: PacedDevice): Pace => platform === 'android' ? COLLAPSIBLE : OTHERS

/** What may be sent now; `moreAt` is when there is more, if that is too little. */
export function allowance (device: PacedDevice, now: Date): { count: number, moreAt: Date } {
  const { burst, everyMs } = paceOf(device)
  const usedMs = used(device, now)
  const count = Math.max(0, Math.floor(burst - usedMs / everyMs))
  return { count, moreAt: new Date(now.getTime() + usedMs - (burst - count - 1) * everyMs) }
}

export const spend = (device: PacedDevice, count: number, now: Date): Date =>
  new Date(now.getTime() + used(device, now) + count * paceOf(device).everyMs)

// A clock that was ahead must not silence a device: never more than everything is used.
function used (device: PacedDevice, now: Date): number {
  const { burst, everyMs } = paceOf(device)
  return Math.min(burst * everyMs, Math.max(0, (device.push_paced_until?.getTime() ?? 0) - now.getTime()))
}
