/** Typed events. A listener that throws ends no step of the library: its error goes to the process. */

type Listener<T> = (value: T) => void

export interface Emitter<Events> {
  /** What is returned ends it. */
  on<K extends keyof Events> (type: K, listener: Listener<Events[K]>): () => void
  emit<K extends keyof Events> (type: K, value: Events[K]): void
}

export function createEmitter<Events> (): Emitter<Events> {
  const listeners = new Map<keyof Events, Set<Listener<any>>>()
  return {
    on (type, listener) {
      const those = listeners.get(type) ?? new Set()
      listeners.set(type, those.add(listener))
      return () => { those.delete(listener) }
    },
    emit (type, value) {
      for (const listener of [...listeners.get(type) ?? []]) {
        try {
          listener(value)
        } catch (error) {
          queueMicrotask(() => { throw error })
        }
      }
    }
  }
}
