/** Delivery of an inbox in PUBLISH packets: the QoS, and which of them were sent before. */
import { type Logger } from 'pino'
import { inboxTopic } from '../../core/topics.ts'
import {
  InboxDelivery, type DeliveryTarget, type EventWriter
} from '../../messaging/deliver/inbox-delivery.ts'
import { WINDOW, type Pump, type PumpEvent } from '../../messaging/deliver/pump.ts'
import { type Messaging } from '../../messaging/start.ts'
import { type StartingPoint } from '../../store/people/device-sessions.ts'
import { type DeviceSocket } from './device-socket.ts'
import { encodeEvents } from './packets.ts'

export interface MqttTarget extends DeliveryTarget { readonly socket: DeviceSocket }

export interface MqttDeliveryOptions {
  target: MqttTarget
  /** 0: a live copy, which acknowledges nothing and starts at the end of the log. */
  qos: 0 | 1
  /** The last event that was sent to the session before; undefined: not known here. */
  sentBefore: number | undefined
  messaging: Messaging
  log: Logger
}

export class MqttDelivery implements EventWriter {
  readonly qos: 0 | 1
  readonly #delivery: InboxDelivery
  readonly #target: MqttTarget
  #sentBefore: number | undefined
  #waitsForDrain = false

  constructor ({ target, qos, sentBefore, messaging, log }: MqttDeliveryOptions) {
    this.#target = target
    this.qos = qos
    this.#sentBefore = sentBefore
    this.#delivery = new InboxDelivery({ target, tracked: qos === 1, writer: this, messaging, log })
  }

  get pump (): Pump { return this.#delivery.pump }

  begin (start: StartingPoint | undefined, heardSeq: number): void {
    this.#delivery.begin(start, heardSeq)
  }

  // After another node, or a restart: the window behind the cursor may have been sent [MQTT-3.3.1-1].
  located ({ inbox_seq, cursor }: StartingPoint): void {
    this.#sentBefore ??= cursor === null ? 0 : Math.min(cursor + WINDOW, inbox_seq)
  }

  /** The last event that was sent to the session, now or before; undefined: not known. */
  get sentSeq (): number | undefined {
    if (this.qos === 0 || this.#sentBefore === undefined) return this.#sentBefore
    return Math.max(this.#sentBefore, this.pump.sentSeq)
  }

  /** Hands events of the pump to the socket. */
  write (events: PumpEvent[]): boolean {
    const { userId, socket } = this.#target
    this.#delivery.trace?.written(events, this.pump.ackedSeq)
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

  /** The device has acknowledged this event. */
  acknowledged (seq: number): void {
    this.#delivery.trace?.acknowledged(seq)
    this.pump.acknowledge(seq)
  }

  close (): void {
    this.#delivery.close()
  }
}
