/**
 * Wakes: who on this node listens for a user's events, and how they hear.
 *
 * A wake is a hint. It may carry the rendered event, so that a device at the
 * end of its log needs no read; a listener that misses one finds the event in the log.
 */
import { type EventBody } from '../../core/events.ts'

export interface WakeEvent {
  userId: string
  seq: number
  /** Absent when it differs by reader and was not rendered for this one: listeners read the log. */
  body?: EventBody
  /** The device of the user that knows the event already: it sent the message, and has the answer. */
  knownTo?: string
}

export interface WakeListener {
  /** Events of the listener's user in seq order. Must not throw and must not wait. */
  wake (events: WakeEvent[]): void
  /** Something for the moment (typing, presence, drafts); never in the log. */
  live? (payload: Buffer): void
}

/** An admin who looks on: gets copies of all users' events and live payloads. */
export interface Observer {
  inbox (event: WakeEvent): void
  live (userId: string, payload: Buffer): void
}

export interface Wakes {
  /** Wakes the users' listeners on this node. */
  wake (events: WakeEvent[]): void
  live (userIds: string[], payload: Buffer): void
  /** Copies for the observers on this node. */
  copy (events: WakeEvent[]): void
  copyLive (userIds: string[], payload: Buffer): void
  /** Returns the function that ends it. */
  listen (userId: string, listener: WakeListener): () => void
  observe (observer: Observer): () => void
  users (): string[]
  observed (): boolean
}

export interface WakesOptions {
  /** Hears of the first listener of a user and of the last one's end. */
  changed?: (userId: string, present: boolean) => void
  /** Hears of the first observer and of the last one's end. */
  observing?: (present: boolean) => void
}

export function createWakes ({ changed = () => {}, observing = () => {} }: WakesOptions = {}): Wakes {
  const listeners = new Map<string, Set<WakeListener>>()
  const observers = new Set<Observer>()

  return {
    wake (events) {
      for (const [userId, own] of eventsByUser(events)) {
        for (const listener of listeners.get(userId) ?? []) listener.wake(own)
      }
    },
    live (userIds, payload) {
      for (const userId of userIds) {
        for (const listener of listeners.get(userId) ?? []) listener.live?.(payload)
      }
    },
    copy (events) {
      for (const observer of observers) events.forEach(event => observer.inbox(event))
    },
    copyLive (userIds, payload) {
      for (const observer of observers) userIds.forEach(userId => observer.live(userId, payload))
    },
    listen (userId, listener) {
      let own = listeners.get(userId)
      if (own === undefined) {
        listeners.set(userId, own = new Set())
        changed(userId, true)
      }
      own.add(listener)
      return () => {
        own.delete(listener)
        if (own.size > 0 || listeners.get(userId) !== own) return
        listeners.delete(userId)
        changed(userId, false)
      }
    },
    observe (observer) {
      if (observers.size === 0) observing(true)
      observers.add(observer)
      return () => {
        if (observers.delete(observer) && observers.size === 0) observing(false)
      }
    },
    users: () => [...listeners.keys()],
    observed: () => observers.size > 0
  }

  function eventsByUser (events: WakeEvent[]): Map<string, WakeEvent[]> {
    const grouped = new Map<string, WakeEvent[]>()
    for (const event of events) {
      if (!listeners.has(event.userId)) continue
      const own = grouped.get(event.userId)
      if (own === undefined) grouped.set(event.userId, [event])
      else own.push(event)
    }
    return grouped
  }
}
