/**
 * Acknowledgements, collected from every pump and written in sets.
 *
 * One flush moves device cursors and `users.acked_seq`, raises delivered marks,
 * tells the senders and cancels pushes, all in one transaction. Until a flush
 * has committed, what it carries is kept: a crash before it means that a device
 * gets those events again, which its cursor protocol allows.
 */
import { type Logger } from 'pino'
import { AppError } from '../../core/errors.ts'
import { type Database, type Executor } from '../../store/database.ts'
import { advanceCursors, findFenced } from '../../store/people/devices.ts'
import { insertEvents, numberEvents } from '../../store/log/inbox.ts'
import { cancelPushes } from '../../store/push/due.ts'
import { raiseDelivered } from '../../store/log/receipts.ts'
import { lockForDelivery } from '../../store/locks.ts'
import { setAckedSeqs } from '../../store/people/users.ts'
import { commitInHalves } from '../log/halves.ts'
import { deliverySeconds, flushDevices, flushSeconds, receiptsTotal } from '../metrics.ts'
import { wakesFor } from '../log/render.ts'
import { deliveredEvents } from './marks.ts'
import { type WakeEvent } from '../deliver/wakes.ts'

/** Between two flushes: a lone acknowledgement is written at once, what follows it in sets. */
const PAUSE_MS = 20
const FLUSH_AT = 500
const RETRY_MS = 500

export interface Acknowledgement {
  userId: string
  /** Undefined for a clean session: it moves no stored cursor. */
  deviceId: string | undefined
  seq: number
  /** Of the connection it came through; undefined when it came by request. A replaced connection acknowledges nothing. */
  lease?: number
}

export interface Acknowledgements {
  /** Notes that a device has everything up to `seq`; written with the next flush, retried until it is. */
  add (acknowledgement: Acknowledgement): void
  /** Writes one acknowledgement now; throws `unavailable` when the database is away. */
  apply (acknowledgement: Acknowledgement): Promise<void>
  /** Resolves when everything noted so far for this user is written. */
  settled (userId: string): Promise<void>
  /** Devices with something to be written. */
  waiting (): number
  /** Writes what is left, once. */
  close (): Promise<void>
}

export function createAcknowledgements ({ database, epoch, fenced, wake, log }: {
  database: Database
  epoch: string
  /** Connections of one device may be on other nodes. */
  fenced: boolean
  wake: (events: WakeEvent[]) => void
  log: Logger
}): Acknowledgements {
  // Bounded by the devices connected: an older entry of the same device is replaced.
  let pending = new Map<string, Acknowledgement>()
  let writing = new Map<string, Acknowledgement>()
  let last: Promise<void> = Promise.resolve()
  let timer: NodeJS.Timeout | undefined
  let wroteAt = -PAUSE_MS
  let closing = false

  function note (acknowledgement: Acknowledgement): void {
    const key = `${acknowledgement.userId} ${acknowledgement.deviceId ?? ''}`
    const known = pending.get(key)
    if (known === undefined || known.seq < acknowledgement.seq) pending.set(key, acknowledgement)
  }

  function schedule (delayMs: number): void {
    if (closing) return
    timer ??= setTimeout(() => { timer = undefined; flush().catch(noteFailure) }, delayMs)
  }

  // One flush after the other; each caller waits for all that was noted before its call.
  function flush (): Promise<void> {
    const flushed = last.then(writePending)
    last = flushed.then(() => PAUSE_MS, () => RETRY_MS)
      .then(delayMs => { if (pending.size > 0) schedule(delayMs) })
    return flushed
  }

  async function writePending (): Promise<void> {
    if (pending.size === 0) return
    writing = pending
    pending = new Map()
    const startedAt = performance.now()
    try {
      await writeOrKeep([...writing.values()])
      flushDevices.observe(writing.size)
      flushSeconds.observe((performance.now() - startedAt) / 1_000)
    } finally {
      writing = new Map()
      wroteAt = performance.now()
    }
  }

  // What the database is away for is kept. What it refuses is dropped: one device gets its events again.
  async function writeOrKeep (acknowledgements: Acknowledgement[]): Promise<void> {
    const outcomes = await commitInHalves(acknowledgements, async half => {
      await writeAll(half)
      return half.map(() => undefined)
    })
    let away: AppError | undefined
    acknowledgements.forEach((acknowledgement, i) => {
      const outcome = outcomes[i]
      if (outcome instanceof AppError) {
        away = outcome
        note(acknowledgement)
      } else if (outcome !== undefined) {
        const { userId, deviceId, seq } = acknowledgement
        log.error({
          err: outcome, user_id: userId, device_id: deviceId, seq
        }, 'an acknowledgement could not be written')
      }
    })
    if (away !== undefined) throw away
  }

  async function writeAll (acknowledgements: Acknowledgement[]): Promise<void> {
    const { events, receipts } = await database.transact(async tx => await writeAcknowledgements(tx, fenced
      ? await withoutReplaced(tx, acknowledgements)
      : acknowledgements, new Date()))
    const now = Date.now()
    for (const { oldest_at } of receipts) {
      deliverySeconds.observe(Math.max(0, now - oldest_at.getTime()) / 1_000)
    }
    receiptsTotal.inc({ type: 'delivered' }, events.length)
    if (events.length > 0) wake(wakesFor(epoch, events))
  }

  function noteFailure (error: unknown): void {
    log.warn(
      { err: error, waiting: pending.size }, 'acknowledgements could not be written and will be tried again'
    )
  }

  return {
    add (acknowledgement) {
      note(acknowledgement)
      if (writing.size > 0) return // its end schedules the next flush
      if (pending.size >= FLUSH_AT) flush().catch(noteFailure)
      else schedule(Math.max(0, wroteAt + PAUSE_MS - performance.now()))
    },
    apply: acknowledgement => writeAll([acknowledgement]),
    async settled (userId) {
      const concerns = (entries: Map<string, Acknowledgement>): boolean =>
        [...entries.values()].some(entry => entry.userId === userId)
      if (concerns(writing) || concerns(pending)) await flush()
    },
    waiting: () => pending.size + writing.size,
    async close () {
      closing = true
      clearTimeout(timer)
      timer = undefined
      await flush()
    }
  }
}

async function withoutReplaced (
  tx: Executor, acknowledgements: Acknowledgement[]
): Promise<Acknowledgement[]> {
  const held = acknowledgements.flatMap(({ userId, deviceId, lease }) =>
    deviceId === undefined || lease === undefined ? [] : [{ userId, deviceId, lease }])
  if (held.length === 0) return acknowledgements
  const fenced = new Set([...await findFenced(tx, held)].map(i => held[i]!.lease))
  return acknowledgements.filter(({ lease }) => lease === undefined || !fenced.has(lease))
}

async function writeAcknowledgements (tx: Executor, acknowledgements: Acknowledgement[], at: Date) {
  if (acknowledgements.length === 0) return { events: [], receipts: [] }
  const reached = new Map<string, number>()
  for (const { userId, seq } of acknowledgements) reached.set(userId, Math.max(reached.get(userId) ?? 0, seq))
  const locked =
    new Map((await lockForDelivery(tx, [...reached.keys()], [...reached.values()])).map(row => [row.id, row]))

  const ranges = [...reached].flatMap(([user_id, seq]) => {
    const user = locked.get(user_id)
    // Never beyond the end of the log, whatever a device claims.
    const up_to = Math.min(seq, user?.inbox_seq ?? 0)
    return user !== undefined && up_to > user.acked_seq ? [{ user_id, after: user.acked_seq, up_to }] : []
  })
  const receipts = await raiseDelivered(tx, ranges, at)
  const events = numberEvents(deliveredEvents(receipts, at), locked)
  await setAckedSeqs(tx, ranges)
  await insertEvents(tx, events, at)
  const cursors = acknowledgements.flatMap(({ userId, deviceId, seq, lease }) => deviceId !== undefined &&
    locked.has(userId)
    ? [{
        user_id: userId,
        device_id: deviceId,
        seq: Math.min(seq, locked.get(userId)!.inbox_seq),
        lease: lease ?? null
      }]
    : [])
  await advanceCursors(
    tx, cursors.sort((a, b) => compare(a.user_id, b.user_id) || compare(a.device_id, b.device_id)), at
  )
  await cancelPushes(tx, ranges.map(range => range.user_id))
  return { events, receipts }
}

const compare = (a: string, b: string): number => a < b ? -1 : a > b ? 1 : 0
