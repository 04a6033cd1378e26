/**
 * Acknowledgements that wait for their batch: one per device, the furthest one.
 *
 * A sender waits for the tick of those that deliver messages. Nobody waits for the others, which say
 * that a device has receipts or its own messages: they are taken with a batch that writes their
 * user's row for another acknowledgement, or when they are asked for.
 *
 * Until a batch has committed, what it carries is kept: a crash before it means
 * that a device gets those events again, which its cursor allows.
 */
import { type Delivery } from '../../core/events.ts'
import { type Executor } from '../../store/database.ts'
import { nextDeliveries } from '../../store/log/receipts.ts'
import { PassingMap } from '../passing-map.ts'
import { merged } from './marks.ts'

/** An acknowledgement that jumps over more events is written in pieces. */
const MAX_EVENTS_PER_PIECE = 2_000
const MAX_BATCH = 250

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
  /** When the first of it came, in milliseconds of performance.now(). */
  since: number
}

export interface AcknowledgementQueue {
  add (acknowledgement: Acknowledgement, caller?: WaitingAcknowledgement['callers'][number]): void
  /** The next batch, taken out of the queue; `all`: also those that nobody waits for. */
  take (all: boolean): WaitingAcknowledgement[]
  /** Keeps what could not be written for the next batch. */
  putBack (acknowledgements: WaitingAcknowledgement[]): void
  concerns (userId: string): boolean
  /** Devices with something to be written. */
  size (): number
  /** When the first of them came. */
  oldest (): number | undefined
  /** Whether a caller waits for one of them. */
  urgent (): boolean
  /** Whether those that are awaited fill a batch. */
  full (): boolean
  /** Whether a sender waits for one of them. */
  awaited (): boolean
}

export function createAcknowledgementQueue (): AcknowledgementQueue {
  // Bounded by the devices connected.
  const waiting = new PassingMap<string, WaitingAcknowledgement>()
  const users = new PassingMap<string, number>() // how many of their devices wait
  let callers = 0
  let awaited = 0

  function note (entry: WaitingAcknowledgement): void {
    const key = `${entry.userId} ${entry.lease ?? ''} ${entry.deviceId ?? ''}`
    const known = waiting.get(key)
    callers += entry.callers.length
    if (isAwaited(entry) && (known === undefined || !isAwaited(known))) awaited++
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
      note({ callers: caller === undefined ? [] : [caller], since: performance.now(), ...acknowledgement }),
    take (all) {
      const batch: WaitingAcknowledgement[] = []
      const written = new Set<string>() // users
      const pick = (key: string, entry: WaitingAcknowledgement): void => {
        waiting.delete(key)
        batch.push(entry)
        callers -= entry.callers.length
        if (isAwaited(entry)) awaited--
        const left = users.get(entry.userId)! - 1
        if (left === 0) users.delete(entry.userId)
        else users.set(entry.userId, left)
        written.add(entry.userId)
        for (const { sender_user_id, told } of entry.deliveries) if (told) written.add(sender_user_id)
      }
      for (const wanted of [isAwaited, (entry: WaitingAcknowledgement) => all || written.has(entry.userId)]) {
        for (const [key, entry] of waiting) {
          if (batch.length === MAX_BATCH) break
          if (wanted(entry)) pick(key, entry)
        }
      }
      return batch
    },
    putBack: entries => entries.forEach(note),
    concerns: userId => users.has(userId),
    size: () => waiting.size,
    oldest: () => waiting.values().next().value?.since,
    urgent: () => callers > 0,
    full: () => awaited >= MAX_BATCH,
    awaited: () => awaited > 0
  }
}

const isAwaited = ({ deliveries, callers }: WaitingAcknowledgement): boolean =>
  deliveries.length > 0 || callers.length > 0

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
