/**
 * The MQTT session of a device, as far as it is stored in `devices`: its
 * subscriptions to the user's own topics outlive the connection [MQTT-3.1.2-4].
 */
import { type StoredSubscription } from '../../migrations/schema.ts'

type Save = (subscriptions: readonly StoredSubscription[]) => Promise<void>

export class StoredSession {
  #subscriptions: readonly StoredSubscription[]
  readonly #save: Save
  #saved: Promise<void> = Promise.resolve()
  #known: boolean

  /** `known`: an earlier connection has left it. */
  constructor (subscriptions: readonly StoredSubscription[], known: boolean, save: Save) {
    this.#subscriptions = subscriptions
    this.#known = known
    this.#save = save
  }

  /** It is stored, or about to be. */
  get known (): boolean { return this.#known }

  get subscriptions (): readonly StoredSubscription[] { return this.#subscriptions }

  async add (subscriptions: readonly StoredSubscription[]): Promise<void> {
    // A client that subscribes again after each reconnect changes nothing.
    if (subscriptions.every(added => this.#subscriptions.some(({ topic, qos }) =>
      topic === added.topic && qos === added.qos))) return await this.#saved
    const merged = new Map([...this.#subscriptions, ...subscriptions].map(({ topic, qos }) => [topic, qos]))
    await this.#replace([...merged].map(([topic, qos]) => ({ topic, qos })))
  }

  async remove (filters: string[]): Promise<void> {
    const rest = this.#subscriptions.filter(({ topic }) => !filters.includes(topic))
    if (rest.length < this.#subscriptions.length) await this.#replace(rest)
  }

  /** Stores it although nothing was subscribed to [MQTT-3.1.2-5]. */
  async keep (): Promise<void> {
    if (!this.#known) await this.#replace(this.#subscriptions)
  }

  // A client may send several SUBSCRIBEs without waiting: each change builds on the
  // one before, and they are written in that order.
  async #replace (subscriptions: readonly StoredSubscription[]): Promise<void> {
    this.#subscriptions = subscriptions
    this.#known = true
    const saved = this.#saved.catch(() => {}).then(() => this.#save(subscriptions))
    saved.catch(() => {}) // told to the caller
    this.#saved = saved
    await saved
  }
}
