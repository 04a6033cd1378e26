/**
 * Delivery of an inbox to one connection, from the subscription to its end.
 *
 * The pump decides what is sent when. This finds the place in the log where it
 * starts, writes what it sends, and says at the end what is left to be pushed.
 */
import { type Logger } from 'pino'
import { failureLevel } from '../../core/errors.ts'
import { inboxTopic } from '../../core/topics.ts'
import { Pump, WINDOW, type PumpConnection, type PumpEvent } from '../../messaging/deliver/pump.ts'
import { type TrackedSession } from '../../messaging/deliver/tracked-sessions.ts'
import { type Messaging } from '../../messaging/start.ts'
import { type StartingPoint } from '../../store/people/device-sessions.ts'
import { createDeliveryTrace, type DeliveryTrace } from './delivery-trace.ts'
import { type DeviceSocket } from './device-socket.ts'
import { encodeEvents } from './packets.ts'

const RETRY_START_MS = 1_000

/** The connection that is delivered to. */
export interface DeliveryTarget {
  readonly userId: string
  readonly deviceId: string
  readonly clean: boolean
  readonly lease: number
  readonly socket: DeviceSocket
  /** The device has opened another connection. */
  readonly replaced: boolean
  disconnect (reason: string): void
}

export interface InboxDeliveryOptions {
  target: DeliveryTarget
  /** 0: a live copy, which acknowledges nothing and starts at the end of the log. */
  qos: 0 | 1
  /** The last event that was sent to the session before; undefined: not known here. */
  sentBefore: number | undefined
  messaging: Messaging
  log: Logger
}

export class InboxDelivery implements PumpConnection {
  readonly qos: 0 | 1
  readonly pump: Pump
  readonly trace: DeliveryTrace | undefined
  readonly #target: DeliveryTarget
  readonly #messaging: Messaging
  readonly #log: Logger
  readonly #session: TrackedSession | undefined
  #sentBefore: number | undefined
  #waitsForDrain = false
  #closed = false

  constructor ({ target, qos, sentBefore, messaging, log }: InboxDeliveryOptions) {
    const { userId, deviceId, clean, lease } = target
    const { inboxLog, acknowledgements, trackedSessions } = messaging
    this.#target = target
    this.qos = qos
    this.#sentBefore = sentBefore
    this.#messaging = messaging
    this.#log = log
    this.trace = createDeliveryTrace(log, { user_id: userId, device_id: deviceId })
    this.pump = new Pump({
      userId,
      deviceId,
      connection: this,
      readLog: inboxLog.after,
      onAcknowledged: (seq, deliveries) => acknowledgements.add({
        userId, deviceId: clean ? undefined : deviceId, seq, deliveries, lease
      }),
      tracked: qos === 1,
      now: () => performance.now()
    })
    if (qos === 0) return
    this.#session = { userId, deviceId, pump: this.pump, disconnect: reason => target.disconnect(reason) }
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
  #startPump ({ inbox_seq, acked_seq, cursor }: StartingPoint, heardSeq: number): void {
    const place = this.qos === 0 ? inbox_seq : (this.#target.clean ? undefined : cursor) ?? acked_seq
    // After another node, or a restart: the window behind the cursor may have been sent [MQTT-3.3.1-1].
    this.#sentBefore ??= cursor === null ? 0 : Math.min(cursor + WINDOW, inbox_seq)
    this.pump.start(place, Math.max(inbox_seq, heardSeq))
  }

  /** The last event that was sent to the session, now or before; undefined: not known. */
  get sentSeq (): number | undefined {
    if (this.qos === 0 || this.#sentBefore === undefined) return this.#sentBefore
    return Math.max(this.#sentBefore, this.pump.sentSeq)
  }

  /** Hands events of the pump to the socket. */
  write (events: PumpEvent[]): boolean {
    const { userId, socket } = this.#target
    this.trace?.written(events, this.pump.ackedSeq)
    const free = socket.write(encodeEvents(inboxTopic(userId), events, this.qos, this.#sentBefore))
    if (!free && !this.#waitsForDrain) {
      this.#waitsForDrain = true
      socket.onceDrained(() => {
        this.#waitsForDrain = false
        this.pump.drained()
      })
    }
    return free
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
