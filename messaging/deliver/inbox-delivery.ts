/**
 * Delivery of an inbox to one connection, whatever its door, from where it begins to its end.
 *
 * The pump decides what is sent when. This finds the place in the log where it
 * starts, and says at the end what is left to be pushed. How an event is written is the door's.
 */
import { type Logger } from 'pino'
import { failureLevel } from '../../core/errors.ts'
import { type Delivery } from '../../core/events.ts'
import { type StartingPoint } from '../../store/people/device-sessions.ts'
import { type EndCause } from './connections.ts'
import { createDeliveryTrace, type DeliveryTrace } from './delivery-trace.ts'
import { type Openings } from './openings.ts'
import { type Overdue } from './overdue.ts'
import { Pump, type PumpConnection, type PumpOptions } from './pump.ts'
import { type TrackedSession, type TrackedSessions } from './tracked-sessions.ts'

const RETRY_START_MS = 1_000

/** The connection that is delivered to. */
export interface DeliveryTarget {
  readonly userId: string
  readonly deviceId: string
  /** It neither reads nor moves a stored cursor. */
  readonly clean: boolean
  readonly lease: number
  /** The device has opened another connection. */
  readonly replaced: boolean
  disconnect (reason: string, cause?: EndCause): void
}

/** What writes the events of a delivery in the terms of its door. */
export interface EventWriter extends PumpConnection {
  /** The place in the log is known; writing begins next. */
  located? (start: StartingPoint): void
}

/** Of the messaging. */
export interface DeliveryDeps {
  readonly epoch: string
  inboxLog: { after: PumpOptions['readLog'] }
  acknowledgements: {
    add (acknowledgement: {
      userId: string, deviceId: string | undefined, seq: number, deliveries: Delivery[], lease: number
    }): void
  }
  trackedSessions: Pick<TrackedSessions, 'add' | 'remove' | 'watch'>
  openings: Pick<Openings, 'locate'>
  overdue: Pick<Overdue, 'ended'>
}

export interface InboxDeliveryOptions {
  target: DeliveryTarget
  /** False: a live copy, which acknowledges nothing and starts at the end of the log. */
  tracked: boolean
  writer: EventWriter
  messaging: DeliveryDeps
  log: Logger
}

export class InboxDelivery {
  readonly pump: Pump
  readonly trace: DeliveryTrace | undefined
  readonly #target: DeliveryTarget
  readonly #writer: EventWriter
  readonly #messaging: DeliveryDeps
  readonly #log: Logger
  readonly #session: TrackedSession | undefined
  #closed = false

  constructor ({ target, tracked, writer, messaging, log }: InboxDeliveryOptions) {
    const { userId, deviceId, clean, lease } = target
    const { inboxLog, acknowledgements, trackedSessions } = messaging
    this.#target = target
    this.#writer = writer
    this.#messaging = messaging
    this.#log = log
    this.trace = createDeliveryTrace(log, { user_id: userId, device_id: deviceId })
    this.pump = new Pump({
      epoch: messaging.epoch,
      userId,
      deviceId,
      connection: writer,
      readLog: inboxLog.after,
      onAcknowledged: (seq, deliveries) => acknowledgements.add({
        userId, deviceId: clean ? undefined : deviceId, seq, deliveries, lease
      }),
      onWaiting: () => { if (this.#session !== undefined) trackedSessions.watch(this.#session) },
      tracked,
      now: () => performance.now()
    })
    if (!tracked) return
    const disconnect = (reason: string): void => target.disconnect(reason, 'slow')
    this.#session = { userId, deviceId, pump: this.pump, watched: false, disconnect }
    trackedSessions.add(this.#session)
  }

  /**
   * Starts at `start`, which was read while the connection listened and had heard of events up to
   * `heardSeq`. Without one it reads where; while that fails, it tries again.
   */
  begin (start: StartingPoint | undefined, heardSeq: number): void {
    if (start !== undefined) return this.#startPump(start, heardSeq)
    this.#findStart().catch((error: unknown) => {
      const { userId, deviceId } = this.#target
      this.#log.warn(
        { err: error, user_id: userId, device_id: deviceId }, 'delivery to a device could not begin'
      )
      this.#target.disconnect('delivery could not begin')
    })
  }

  async #findStart (): Promise<void> {
    const { userId, deviceId } = this.#target
    while (!this.#closed) {
      try {
        const start = await this.#messaging.openings.locate({ userId, deviceId })
        if (start === undefined) throw new Error('the user of a connection is not stored')
        if (!this.#closed) this.#startPump(start, 0) // the pump has heard of what came meanwhile
        return
      } catch (error) {
        this.#log[failureLevel(error)](
          { err: error, user_id: userId }, 'the cursor of a device could not be read and will be tried again'
        )
        await new Promise(resolve => setTimeout(resolve, RETRY_START_MS).unref())
      }
    }
  }

  // After the device's own cursor, or where the user's devices have got to; a live
  // copy at the end of the log.
  #startPump (start: StartingPoint, heardSeq: number): void {
    const { inbox_seq, acked_seq, cursor } = start
    const place = this.pump.tracked ? (this.#target.clean ? undefined : cursor) ?? acked_seq : inbox_seq
    this.#writer.located?.(start)
    this.pump.start(place, Math.max(inbox_seq, heardSeq))
  }

  close (): void {
    if (this.#closed) return
    this.#closed = true
    this.pump.close()
    if (this.#session === undefined) return
    const { trackedSessions, overdue } = this.#messaging
    const { userId, replaced } = this.#target
    trackedSessions.remove(this.#session)
    // No session watches any more what this one leaves unacknowledged, or has not heard of.
    overdue.ended({ userId, ackedSeq: this.pump.ackedSeq, replaced })
  }
}
