/**
 * What one connection hears of its user's own topics: the inbox through a pump,
 * `live` and the replies to its commands as they come.
 *
 * Delivery starts at a place in the log that was read while the connection
 * listened for the user's events, so that no event falls between the two.
 */
import { type Logger } from 'pino'
import { inboxTopic, liveTopic, repliesTopic } from '../../core/topics.ts'
import { type EarlyListener } from '../../messaging/deliver/early-listener.ts'
import { type WakeEvent, type WakeListener } from '../../messaging/deliver/wakes.ts'
import { type Messaging } from '../../messaging/start.ts'
import { type StartingPoint } from '../../store/people/device-sessions.ts'
import { MqttDelivery, type MqttTarget } from './mqtt-delivery.ts'
import { encodePublish, replyId } from './packets.ts'
import { type Subscriptions } from './subscriptions.ts'

export interface OwnTopicsOptions {
  target: MqttTarget
  subscriptions: Subscriptions
  /** The last event that was sent to the session before; undefined: not known here. */
  sentSeq: number | undefined
  messaging: Messaging
  log: Logger
}

export class OwnTopics implements WakeListener {
  readonly #options: OwnTopicsOptions
  #delivery: MqttDelivery | undefined
  #stopListening: (() => void) | undefined
  /** The end of the log as far as heard since it listens. */
  #heardSeq = 0
  /** Read since it listens. */
  #start: StartingPoint | undefined
  #replies = 0
  #sentSeq: number | undefined
  /** The CONNACK is written: no other packet may come before it [MQTT-3.2.0-1]. */
  #restored = false
  #closed = false

  constructor (options: OwnTopicsOptions) {
    this.#options = options
    this.#sentSeq = options.sentSeq
  }

  /** The last event that was sent to the session, on this connection or before; undefined: not known. */
  get sentSeq (): number | undefined {
    return this.#delivery?.sentSeq ?? this.#sentSeq
  }

  /** Undefined while the inbox is not subscribed to. */
  get delivery (): MqttDelivery | undefined { return this.#delivery }

  get #userId (): string { return this.#options.target.userId }

  /** Goes on from a listener that heard of the user's events since before `start` was read. */
  takeOver (early: EarlyListener, start: StartingPoint | undefined): void {
    this.listen()
    this.#heardSeq = early.heardSeq
    this.#start = start
  }

  listen (): void {
    if (!this.#closed) this.#stopListening ??= this.#options.messaging.wakes.listen(this.#userId, this)
  }

  /** Delivery may start here: read while this listened. */
  startAt (start: StartingPoint | undefined): void {
    if (this.#stopListening !== undefined) this.#start = start
  }

  /** The CONNACK is written. Without subscriptions it listens on: a new device sends SUBSCRIBE next. */
  restored (): void {
    this.#restored = true
    if (this.#options.subscriptions.anyOwn) this.follow()
  }

  /** Begins and ends what the subscriptions ask for; the SUBACK of a new one must be written. */
  follow (): void {
    if (this.#closed) return
    const { subscriptions, messaging, target, log } = this.#options
    if (subscriptions.anyOwn) this.listen()
    else this.#stopListen()
    const qos = subscriptions.qosFor(inboxTopic(this.#userId))
    const inboxQos = qos === 2 ? 1 : qos
    if (inboxQos === this.#delivery?.qos) return
    this.#end()
    if (inboxQos === undefined) return
    this.#delivery = new MqttDelivery({ target, qos: inboxQos, sentBefore: this.#sentSeq, messaging, log })
    this.#delivery.begin(this.#start, this.#heardSeq)
    this.#start = undefined
  }

  #stopListen (): void {
    this.#stopListening?.()
    this.#stopListening = undefined
    this.#start = undefined
    this.#heardSeq = 0
  }

  wake (events: WakeEvent[]): void {
    this.#heardSeq = Math.max(this.#heardSeq, events.at(-1)!.seq)
    this.#delivery?.pump.wake(events)
  }

  live (payload: Buffer): void {
    if (!this.#restored) return
    const { subscriptions, target } = this.#options
    const topic = liveTopic(this.#userId)
    if (subscriptions.qosFor(topic) !== undefined) target.socket.writeIfFree(encodePublish(topic, payload))
  }

  /** Tells the sender of a command what became of it; never queued. */
  reply (payload: Buffer): void {
    const { subscriptions, target } = this.#options
    const topic = repliesTopic(this.#userId)
    const qos = subscriptions.qosFor(topic)
    if (qos === undefined) return
    target.socket.write(qos === 0
      ? encodePublish(topic, payload)
      : encodePublish(topic, payload, 1, replyId(this.#replies++)))
  }

  #end (): void {
    this.#sentSeq = this.sentSeq
    this.#delivery?.close()
    this.#delivery = undefined
  }

  close (): void {
    this.#end()
    this.#stopListen()
    this.#closed = true
  }
}
