/**
 * What one connection hears of its user's own topics: the inbox through a pump,
 * `live` and the replies to its commands as they come.
 */
import { type Logger } from 'pino'
import { inboxTopic, liveTopic, repliesTopic } from '../../core/topics.ts'
import { type WakeEvent, type WakeListener } from '../../messaging/deliver/wakes.ts'
import { type Messaging } from '../../messaging/start.ts'
import { InboxDelivery, type DeliveryTarget } from './inbox-delivery.ts'
import { encodePublish, replyId } from './packets.ts'
import { type Subscriptions } from './subscriptions.ts'

export interface OwnTopicsOptions {
  target: DeliveryTarget
  subscriptions: Subscriptions
  messaging: Messaging
  log: Logger
}

export class OwnTopics implements WakeListener {
  readonly #options: OwnTopicsOptions
  #delivery: InboxDelivery | undefined
  #stopListening: (() => void) | undefined
  #replies = 0
  #closed = false

  constructor (options: OwnTopicsOptions) {
    this.#options = options
  }

  /** Undefined while the inbox is not subscribed to. */
  get delivery (): InboxDelivery | undefined { return this.#delivery }

  get #userId (): string { return this.#options.target.userId }

  /** Begins and ends what the subscriptions ask for; the CONNACK or SUBACK of a new one must be written. */
  follow (): void {
    if (this.#closed) return
    const { subscriptions, messaging, target, log } = this.#options
    if (subscriptions.anyOwn) this.#stopListening ??= messaging.wakes.listen(this.#userId, this)
    else this.#stopListen()
    const qos = subscriptions.qosFor(inboxTopic(this.#userId))
    const inboxQos = qos === 2 ? 1 : qos
    if (inboxQos === this.#delivery?.qos) return
    this.#delivery?.close()
    this.#delivery = undefined
    if (inboxQos === undefined) return
    this.#delivery = new InboxDelivery({ target, qos: inboxQos, messaging, log })
    this.#delivery.begin()
  }

  #stopListen (): void {
    this.#stopListening?.()
    this.#stopListening = undefined
  }

  wake (events: WakeEvent[]): void {
    this.#delivery?.pump.wake(events)
  }

  live (payload: Buffer): void {
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

  close (): void {
    this.#delivery?.close()
    this.#delivery = undefined
    this.#stopListen()
    this.#closed = true
  }
}
