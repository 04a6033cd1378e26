/**
 * A page of a user's conversations as JSON: up to 1,000 of them, which is where a new device begins.
 *
 * They are read and written in pieces, so that nobody else waits for longer than a piece. A page ends early
 * when it is large, one user has one page under way, and few are under way in all: so they cost a bounded
 * amount of memory, whatever conversations hold.
 */
import { createKeyedQueue } from '../messaging/keyed-queue.ts'
import { type Executor } from '../store/database.ts'
import { conversationViews, listPlaces, type ListPlace } from '../store/conversations/views.ts'

/** The longest turn of the event loop was 7 to 10 ms with this many, with all 1,000 at once 12 to 43 ms. */
const PIECE = 100
/** Characters of JSON. 1,000 usual conversations have 1.2 million. */
const MAX_LENGTH = 4_000_000
const MAX_PAGES_AT_ONCE = 4

export interface ConversationList {
  /** `conversations`: an array, as JSON. `next`: where the next page begins, if there is one. */
  page (
    userId: string, limit: number, after: ListPlace | undefined
  ): Promise<{ conversations: string, next: ListPlace | undefined }>
}

export function createConversationList (db: Executor): ConversationList {
  const queue = createKeyedQueue(MAX_PAGES_AT_ONCE)

  async function read (userId: string, limit: number, after: ListPlace | undefined) {
    const places = await listPlaces(db, userId, limit + 1, after)
    const written: string[] = []
    let length = 0
    let end = 0
    while (end < Math.min(limit, places.length) && length < MAX_LENGTH) {
      const piece = places.slice(end, Math.min(limit, end + PIECE))
      const views = await conversationViews(db, piece.map(({ id }) => ({ conversationId: id, userId })))
      // One that the user has just left is among them; the event that says so comes after the snapshot. Of
      // one who has just been erased nothing is there any more.
      const json = JSON.stringify(views.filter(view => view !== undefined)).slice(1, -1)
      if (json !== '') written.push(json)
      length += json.length
      end += piece.length
    }
    return {
      conversations: `[${written.join()}]`, next: end < places.length ? places[end - 1] : undefined
    }
  }

  return {
    page: (userId, limit, after) => limit <= PIECE
      ? read(userId, limit, after)
      : queue.run(userId, () => read(userId, limit, after))
  }
}
