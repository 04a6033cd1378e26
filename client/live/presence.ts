/**
 * Who is online, of the people that somebody looks at. Notices tell of changes; after each
 * connect the server is asked, because notices are never stored.
 */
import { EchoError } from '../errors.ts'
import { type Rest } from '../rest.ts'
import { type Presence } from '../wire/views.ts'

/** Looked at at a time; the first ones are forgotten. */
const MAX_WATCHED = 200

export interface Watching {
  of (userId: string): Presence | undefined
  told (presence: Presence): void
  watch (userIds: string[]): void
  connected (): void
  disconnected (): void
}

export function createPresence (rest: Rest, changed: (userId: string) => void): Watching {
  const known = new Map<string, Presence>()
  const watched = new Set<string>()
  let online = false

  function told ({ user_id, online, last_seen_at }: Presence): void {
    known.set(user_id, { user_id, online, last_seen_at })
    changed(user_id)
  }

  async function ask (userId: string): Promise<void> {
    const before = known.get(userId)
    try {
      const presence = await rest.request<Presence>('GET', `/users/${userId}/presence`)
      // A notice that came meanwhile is newer.
      if (known.get(userId) === before) told(presence)
    } catch (error) {
      // Nobody with whom the user shares a direct conversation, or no answer: then it stays unknown.
      if (!(error instanceof EchoError)) throw error
    }
  }
  const askAll = (userIds: string[]): void => {
    for (const userId of userIds) ask(userId).catch(() => {})
  }

  return {
    of: userId => known.get(userId),
    told,
    watch (userIds) {
      const added = userIds.filter(userId => !watched.has(userId))
      for (const userId of added) watched.add(userId)
      for (const userId of watched) {
        if (watched.size <= MAX_WATCHED) break
        watched.delete(userId)
      }
      if (online) askAll(added)
    },
    connected () {
      online = true
      askAll([...watched])
    },
    disconnected () {
      online = false
      for (const userId of [...known.keys()]) {
        known.delete(userId)
        changed(userId)
      }
    }
  }
}
