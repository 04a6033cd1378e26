/**
 * Wakes: who on this node listens for a user's events, and how they hear.
 *
 * A wake is a hint. It may carry the rendered event, so that a device at the
 * end of its log needs no read; whoever misses one finds the event in the log.
 */
import { type EventBody } from '../core/events.ts'

export interface WakeEvent {
  userId: string
  seq: number
  /** Absent for rare events: listeners read them from the log. */
  body?: EventBody
}

export interface Listener {
  /** Events of the listener's user in seq order. Must not throw and must not wait. */
  wake (events: WakeEvent[]): void
  /** Something for the moment (typing, presence); never stored. */
  live? (payload: Buffer): void
}

/** Somebody who looks on: gets copies of everybody's events and live payloads. */
export interface Observer {
  inbox (event: WakeEvent): void
  live (userId: string, payload: Buffer): void
}

export interface Wakes {
  wake (events: WakeEvent[]): void
  live (userIds: string[], payload: Buffer): void
  /** Returns the function that ends it. */
  listen (userId: string, listener: Listener): () => void
  observe (observer: Observer): () => void
  users (): string[]
}

export function createWakes (): Wakes {
  const listeners = new Map<string, Set<Listener>>()
  const observers = new Set<Observer>()

  return {
    wake (events) {
      for (const observer of observers) events.forEach(event => observer.inbox(event))
      for (const [userId, own] of eventsByUser(events)) {
        for (const listener of listeners.get(userId) ?? []) listener.wake(own)
      }
    },
    live (userIds, payload) {
      for (const userId of userIds) {
        for (const listener of listeners.get(userId) ?? []) listener.live?.(payload)
        for (const observer of observers) observer.live(userId, payload)
      }
    },
    listen (userId, listener) {
      const own = listeners.get(userId) ?? new Set()
      listeners.set(userId, own.add(listener))
      return () => {
        own.delete(listener)
        if (own.size === 0 && listeners.get(userId) === own) listeners.delete(userId)
      }
    },
    observe (observer) {
      observers.add(observer)
      return () => observers.delete(observer)
    },
    users: () => [...listeners.keys()]
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
