/** What came to devices, at the doors that tell the `seq` of each event. */
import { isShown, nextShown } from '../devices/shown.ts'
import { describeEvent, EDITED, ERASED, sameEvent, type Event } from '../event.ts'
import { type Evidence } from '../evidence.ts'
import { type DeviceRecord, type Ledger } from '../ledger.ts'

export function * receivedInOrder ({ devices }: Ledger, { inboxes }: Evidence): Generator<string> {
  for (const record of devices) yield * outOfOrder(record, inboxes.get(record.userId)?.events ?? [])
}

function * outOfOrder (
  { userId, deviceId, door, startSeq, connections }: DeviceRecord, log: Event[]
): Generator<string> {
  const device = `${userId}/${deviceId} (${door})`
  let highest = startSeq
  for (const [index, events] of connections.entries()) {
    const [first] = events
    const next = nextShown(log, highest, door) ?? highest + 1
    // A device that acknowledges may get again what it has, a reader that says what it has may not.
    const early = first !== undefined && (first.seq <= startSeq || (door === 'sse' && first.seq < next))
    if (first !== undefined && (first.seq > next || early)) {
      yield `${device}: connection ${index + 1} began with ${describeEvent(first)}; ` +
        `the device had everything from ${startSeq + 1} to ${highest}`
    }
    for (let i = 1; i < events.length; i++) {
      const before = events[i - 1]!.seq
      if (events[i]!.seq !== (nextShown(log, before, door) ?? before + 1)) {
        yield `${device}: on connection ${index + 1} ${describeEvent(events[i]!)} followed seq ${before}`
      }
    }
    for (const event of events.filter(event => !isShown(door, event))) {
      yield `${device}: received ${describeEvent(event)}, which is not for this door`
    }
    highest = Math.max(highest, events.at(-1)?.seq ?? 0)
  }
  if (highest > log.length || nextShown(log, highest, door) !== undefined) {
    yield `${device} has everything up to ${highest}; the log ends at ${log.length}`
  }
}

export function * receivedAsLogged (
  { devices, edited, erasures }: Ledger, { inboxes }: Evidence
): Generator<string> {
  const erased = new Set(erasures.map(({ userId }) => userId))
  const changeable = ({ messageId = '', senderId = '' }: Event) =>
    erased.has(senderId) ? ERASED : edited.has(messageId) ? EDITED : []
  for (const { userId, deviceId, connections } of devices) {
    const log = inboxes.get(userId)?.events ?? []
    for (const event of connections.flat()) {
      const logged = log[event.seq - 1]
      if (logged !== undefined && (logged === event || sameEvent(logged, event, changeable(event)))) continue
      yield `${userId}/${deviceId} received ${describeEvent(event)}; ` +
        `the log has ${logged === undefined ? 'nothing' : describeEvent(logged)}`
    }
  }
}
