/**
 * Identifiers of QoS 2 commands that are not released. A command is harmless when it is repeated on another
 * connection, for it names itself; so they need no session, and go with the connection.
 */
export interface CommandIds {
  add (client: object, id: number): void
  has (client: object, id: number): boolean
  /** False when it was none. */
  release (client: object, id: number): boolean
}

export function createCommandIds (): CommandIds {
  const ids = new WeakMap<object, Set<number>>()
  return {
    add (client, id) { ids.set(client, (ids.get(client) ?? new Set()).add(id)) },
    has: (client, id) => ids.get(client)?.has(id) === true,
    release: (client, id) => ids.get(client)?.delete(id) === true
  }
}
