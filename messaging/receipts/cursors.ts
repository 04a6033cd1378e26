/** How far acknowledgements move their users' counters, and the cursors of devices. */
import { type InboxCounters } from '../../store/locks.ts'
import { type CursorAdvance } from '../../store/people/device-sessions.ts'
import { type Acknowledgement } from './acknowledgements.ts'

/** Moves the users' counters to what any of their devices has; returns the users that moved. */
export function moveAcknowledged (
  acknowledgements: Acknowledgement[], users: Map<string, InboxCounters>
): Set<string> {
  const moved = new Set<string>()
  for (const { userId, seq } of acknowledgements) {
    const user = users.get(userId)
    // Never beyond the end of the log, whatever a device claims.
    const upTo = Math.min(seq, user?.inbox_seq ?? 0)
    if (user === undefined || upTo <= user.acked_seq) continue
    user.acked_seq = upTo
    moved.add(userId)
  }
  return moved
}

/**
 * One per device, in the order in which they are locked. What came by request has no lease and counts always.
 */
export function cursorsOf (
  acknowledgements: Acknowledgement[], users: Map<string, InboxCounters>
): CursorAdvance[] {
  const cursors = new Map<string, CursorAdvance>()
  for (const { userId, deviceId, seq, lease = null } of acknowledgements) {
    const user = users.get(userId)
    if (deviceId === undefined || user === undefined) continue
    const key = `${userId} ${deviceId}`
    const known = cursors.get(key)
    const reached = Math.min(seq, user.inbox_seq)
    cursors.set(key, {
      user_id: userId,
      device_id: deviceId,
      seq: Math.max(known?.seq ?? 0, reached),
      lease: known === undefined
        ? lease
        : known.lease === null || lease === null ? null : Math.max(known.lease, lease)
    })
  }
  return [...cursors.values()].sort((a, b) => compare(a.user_id, b.user_id) ||
    compare(a.device_id, b.device_id))
}

const compare = (a: string, b: string): number => a < b ? -1 : a > b ? 1 : 0
