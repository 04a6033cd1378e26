/**
 * Acknowledgements that wait for their batch: one per device, the furthest one.
 *
 * Until a batch has committed, what it carries is kept: a crash before it means
 * that a device gets those events again, which its cursor allows.
 */
import { type Delivery } from '../../core/events.ts'
import { type Executor } from '../../store/database.ts'
import { nextDeliveries } from '../../store/log/receipts.ts'
import { merged } from './marks.ts'

/** An acknowledgement that jumps over more events is written in pieces. */
const MAX_EVENTS_PER_PIECE = 2_000
const MAX_BATCH = 500

export interface Acknowledgement {
  userId: string
  /** Undefined for a clean session: it moves no stored cursor. */
  deviceId: string | undefined
  /** The device has everything up to here. */
  seq: number
  /**
   * Messages among what the device has acknowledged since the last time, known to the pump that sent them.
   */
  deliveries: Delivery[]
  /**
   * Of the connection it came through; undefined when it came by request. A replaced connection acknowledges
   * nothing.
   */
  lease?: number
}

export interface WaitingAcknowledgement extends Acknowledgement {
  /** Callers that wait for the commit; a pump does not wait. */
  callers: Array<{ resolve: () => void, reject: (error: unknown) => void }>
}

export interface AcknowledgementQueue {
  add (acknowledgement: Acknowledgement, caller?: WaitingAcknowledgement['callers'][number]): void
  take (): WaitingAcknowledgement[]
  /** Keeps what could not be written for the next batch. */
  putBack (acknowledgements: WaitingAcknowledgement[]): void
  concerns (userId: string): boolean
  /** Devices with something to be written. */
  size (): number
  /** Whether a caller waits for one of them. */
  urgent (): boolean
}

export function createAcknowledgementQueue (): AcknowledgementQueue {
  // Bounded by the devices connected.
  const waiting = new Map<string, WaitingAcknowledgement>()
  const users = new Map<string, number>() // how many of their devices wait
  let callers = 0

  function note (entry: WaitingAcknowledgement): void {
    const key = `${entry.userId} ${entry.lease ?? ''} ${entry.deviceId ?? ''}`
    const known = waiting.get(key)
    callers += entry.callers.length
    if (known === undefined) {
      waiting.set(key, entry)
      users.set(entry.userId, (users.get(entry.userId) ?? 0) + 1)
      return
    }
    known.seq = Math.max(known.seq, entry.seq)
    known.deliveries = lastOfEach([...known.deliveries, ...entry.deliveries])
    known.callers.push(...entry.callers)
  }

  return {
    add: (acknowledgement, caller) =>
      note({ ...acknowledgement, callers: caller === undefined ? [] : [caller] }),
    take () {
      const batch: WaitingAcknowledgement[] = []
      for (const [key, entry] of waiting) {
        if (batch.length === MAX_BATCH) break
        waiting.delete(key)
        batch.push(entry)
        callers -= entry.callers.length
        const left = users.get(entry.userId)! - 1
        if (left === 0) users.delete(entry.userId)
        else users.set(entry.userId, left)
      }
      return batch
    },
    putBack: entries => entries.forEach(note),
    concerns: userId => users.has(userId),
    size: () => waiting.size,
    urgent: () => callers > 0 || waiting.size >= MAX_BATCH
  }
}

/** Of each sender in each conversation the last one. */
function lastOfEach (deliveries: Delivery[]): Delivery[] {
  const last = new Map<string, Delivery>()
  for (const delivery of deliveries) {
    const key = `${delivery.conversation_id} ${delivery.sender_user_id}`
    const known = last.get(key)
    last.set(key, known === undefined ? delivery : merged(known, delivery))
  }
  return [...last.values()]
}

/** Acknowledges by request: what the events deliver is read from the log, a bounded piece at a time. */
export async function acknowledgeInPieces (
  db: Executor, { userId, deviceId, seq }: Omit<Acknowledgement, 'deliveries'>,
  commit: (piece: Acknowledgement) => Promise<void>
): Promise<void> {
  let reached: number
  do {
    const { upTo, deliveries } = await nextDeliveries(db, userId, seq, MAX_EVENTS_PER_PIECE)
    await commit({ userId, deviceId, seq: upTo, deliveries })
    reached = upTo
  } while (reached < seq)
}
