/** What one connection is subscribed to: the user's own topics with their QoS, of others only which. */
import { filterMatches } from '../../core/topics.ts'
import { type StoredSubscription } from '../../migrations/schema.ts'

export const MAX_SUBSCRIPTIONS = 100

export class Subscriptions {
  /** Filters of the user's own topics, of which there are few. */
  readonly #own = new Map<string, 0 | 1 | 2>()
  /** All others; most devices have none. */
  #others: Set<string> | undefined

  constructor (own: readonly StoredSubscription[]) {
    this.add(own)
  }

  get anyOwn (): boolean { return this.#own.size > 0 }

  add (own: readonly StoredSubscription[]): void {
    for (const { topic, qos } of own) this.#own.set(topic, qos)
  }

  remove (filters: string[]): void {
    for (const filter of filters) {
      this.#own.delete(filter)
      this.#others?.delete(filter)
    }
  }

  /** Counts a filter outside the own topics. False: there are MAX_SUBSCRIPTIONS already. */
  hold (filter: string): boolean {
    const others = this.#others ??= new Set()
    if (others.size >= MAX_SUBSCRIPTIONS && !others.has(filter)) return false
    others.add(filter)
    return true
  }

  holds (filter: string): boolean {
    return this.#others?.has(filter) === true
  }

  /** The highest QoS at which an own topic is wanted. */
  qosFor (topic: string): 0 | 1 | 2 | undefined {
    let highest: 0 | 1 | 2 | undefined
    for (const [filter, qos] of this.#own) {
      if (filterMatches(filter, topic) && (highest === undefined || qos > highest)) highest = qos
    }
    return highest
  }
}
