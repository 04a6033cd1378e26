/**
 * The stored sessions of topics granted by `acl`, in memory, for a process that runs alone. It keeps what
 * sessions-redis.ts keeps, so that one queue (session-queue.ts) delivers both.
 */
import { REPLACED, type Publication, type QueuedMessage, type RedisSessions } from './sessions-redis.ts'
import { ClientFault } from '../connection-errors.ts'
import { LevelTree } from './level-tree.ts'
import { MAX_QUEUED_BYTES, SESSION_TTL_MS } from './scripts-redis.ts'

/** In the queue of one session; beyond it the oldest are dropped. Far more than Redis is given to hold. */
export const MAX_MESSAGES = 100_000

type QoS = 0 | 1 | 2

class MemorySession {
  readonly filters = new Map<string, QoS>()
  /** By n, which is dense, and in its order. */
  readonly #queue = new Map<number, Omit<QueuedMessage, 'again'>>()
  #bytes = 0
  /** The highest n that was ever queued. */
  last = 0
  /** The highest n that was ever sent. */
  #sent = 0
  /** Of the newest connection that reads the queue. */
  lease = 0
  /** False: a clean session, of which only identifiers are kept. */
  stored = false
  /** Identifier -> n: QoS 2 messages that the device has received and not released. */
  readonly released = new Map<number, number>()
  /** Identifiers of QoS 2 messages that it has sent and not released. */
  readonly incoming = new Set<number>()
  renewedAt = 0

  add ({ topic, payload }: Publication, qos: 1 | 2): void {
    const bytes = Buffer.from(payload as Buffer)
    const n = ++this.last
    this.#queue.set(n, { n, topic, payload: bytes, qos })
    this.#bytes += bytes.length
    for (const oldest of this.#queue.keys()) {
      if (this.#queue.size <= MAX_MESSAGES && this.#bytes <= MAX_QUEUED_BYTES) break
      this.remove(oldest)
    }
  }

  remove (n: number): void {
    this.#bytes -= this.#queue.get(n)?.payload.length ?? 0
    this.#queue.delete(n)
  }

  /** The messages after `after`; from now on they count as sent. */
  take (after: number, maxMessages: number, maxBytes: number): QueuedMessage[] {
    const sentBefore = this.#sent
    const found: QueuedMessage[] = []
    let bytes = 0
    // Before the first that is queued there is nothing; of those up to `after` at most a window.
    for (const message of this.#queue.values()) {
      if (message.n <= after) continue
      bytes += message.payload.length
      if (found.length === maxMessages || (bytes > maxBytes && found.length > 0)) break
      found.push({ ...message, again: message.n <= sentBefore })
      this.#sent = Math.max(this.#sent, message.n)
    }
    return found
  }

  get empty (): boolean {
    return !this.stored && this.filters.size === 0 && this.incoming.size === 0
  }
}

export type MemorySessions = RedisSessions

export function createMemorySessions (now: () => number): MemorySessions {
  /** Those that were renewed last stand last. */
  const sessions = new Map<string, MemorySession>()
  /** Filter -> client -> QoS, of those that queue for it. */
  const subscribers = new LevelTree<Map<string, 1 | 2>>()

  function renew (client: string): MemorySession {
    const session = sessions.get(client) ?? new MemorySession()
    sessions.delete(client)
    sessions.set(client, session)
    session.renewedAt = now()
    for (const [oldest, { renewedAt }] of sessions) {
      if (renewedAt > now() - SESSION_TTL_MS) break
      forget(oldest)
    }
    return session
  }

  function unlink (client: string, filter: string): void {
    const clients = subscribers.get(filter)
    if (clients?.delete(client) === true && clients.size === 0) subscribers.delete(filter)
  }

  function forget (client: string): void {
    for (const filter of sessions.get(client)?.filters.keys() ?? []) unlink(client, filter)
    sessions.delete(client)
  }

  function enqueue (message: Publication): void {
    const granted = new Map<string, 1 | 2>()
    for (const clients of subscribers.ofFiltersFor(message.topic)) {
      for (const [client, qos] of clients) if (qos > (granted.get(client) ?? 0)) granted.set(client, qos)
    }
    for (const [client, qos] of granted) {
      sessions.get(client)!.add(message, Math.min(message.qos, qos) as 1 | 2)
    }
  }

  /** Undefined: a newer connection has begun. */
  function unfenced (client: string, lease: number): MemorySession | undefined {
    const session = sessions.get(client) ?? renew(client)
    return session.lease > lease ? undefined : session
  }

  return {
    async subscribe (client, filters) {
      const session = renew(client)
      for (const [filter, qos] of filters) {
        session.filters.set(filter, qos as QoS)
        if (qos === 0) {
          unlink(client, filter)
          continue
        }
        const clients = subscribers.get(filter) ?? new Map()
        subscribers.set(filter, clients.set(client, qos as 1 | 2))
      }
    },
    async unsubscribe (client, filters) {
      for (const filter of filters) {
        sessions.get(client)?.filters.delete(filter)
        unlink(client, filter)
      }
    },
    subscriptions: async client =>
      [...sessions.get(client)?.filters ?? []].map(([topic, qos]) => ({ topic, qos })),
    forget: async client => { forget(client) },
    enqueue: async message => { enqueue(message) },

    async receive (client, id, message) {
      const { incoming } = renew(client)
      if (incoming.has(id)) return
      incoming.add(id)
      enqueue(message)
    },
    received: async (client, id) => sessions.get(client)?.incoming.has(id) === true,
    async releaseReceived (client, id) {
      const session = sessions.get(client)
      session?.incoming.delete(id)
      if (session?.empty === true) sessions.delete(client)
    },
    async forgetReceived (client) {
      const session = sessions.get(client)
      session?.incoming.clear()
      if (session?.empty === true) sessions.delete(client)
    },

    async remember (client) {
      const known = sessions.get(client)?.stored === true
      renew(client).stored = true
      return known
    },
    async open (client, lease) {
      const session = unfenced(client, lease)
      if (session === undefined) return undefined
      renew(client).lease = lease
      return [...session.released].sort(([, a], [, b]) => a - b).map(([id]) => id)
    },
    read: async (client, lease, after, maxMessages, maxBytes) =>
      unfenced(client, lease)?.take(after, maxMessages, maxBytes),
    acknowledge: async (client, lease, n) => { unfenced(client, lease)?.remove(n) },
    async release (client, lease, n, id) {
      const session = unfenced(client, lease)
      if (session === undefined) throw new ClientFault(REPLACED)
      session.remove(n)
      session.released.set(id, n)
    },
    complete: async (client, lease, id) => { unfenced(client, lease)?.released.delete(id) },
    async renew (client) {
      const { filters, last } = renew(client)
      return { stored: filters.size > 0, last }
    }
  }
}
