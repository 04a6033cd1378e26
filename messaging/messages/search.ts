/**
 * Search: what a user can see, newest first, in pages.
 *
 * The conversations are asked in the order of their newest messages, a few at a time, until no
 * further one can hold anything newer than what the page ends with. A user has one search under
 * way and a process two, each statement with a time limit, so that searches hold up no other work.
 */
import { invalid } from '../../core/errors.ts'
import { checkText } from '../../core/message-rules.ts'
import { findMembership } from '../../store/conversations/conversations.ts'
import { type Database, type Executor } from '../../store/database.ts'
import { databaseError } from '../../store/database-errors.ts'
import { messageView } from '../../store/messages/messages.ts'
import {
  countWords, findHits, foundMessages, searchedConversations, type SearchQuery
} from '../../store/messages/search.ts'
import { type HistoryPage } from './history.ts'
import { requirePresent } from '../membership.ts'
import { createKeyedQueue } from '../keyed-queue.ts'

export const MAX_QUERY_LENGTH = 200
const CONVERSATIONS_PER_STATEMENT = 50
const STATEMENT_TIMEOUT_MS = 1_500
const QUERY_CANCELED = '57014'
/** Above every UUIDv7. */
const LAST_ID = 'ffffffff-ffff-ffff-ffff-ffffffffffff'

export interface SearchRequest { query: string, conversationId?: string, beforeId?: string, limit: number }

export interface Search {
  /**
   * Throws `invalid` for a query without words or one that matches too much, `not_found` or `forbidden` for a
   * conversation that is not the reader's.
   */
  search (readerId: string, request: SearchRequest): Promise<HistoryPage>
}

export function createSearch (database: Pick<Database, 'autocommit' | 'transactReadOnly'>): Search {
  const turns = createKeyedQueue()

  async function search (
    readerId: string, { query, conversationId, beforeId = LAST_ID, limit }: SearchRequest
  ): Promise<HistoryPage> {
    if (checkText(query, 'q') > MAX_QUERY_LENGTH) {
      throw invalid('invalid_query', `q has at most ${MAX_QUERY_LENGTH} code points`)
    }
    if (conversationId !== undefined) {
      requirePresent(await findMembership(database.autocommit, conversationId, readerId))
    }
    if (await countWords(database.autocommit, query) === 0) {
      throw invalid('invalid_query', 'q has no word to look for')
    }
    const ids = await database.transactReadOnly(STATEMENT_TIMEOUT_MS, db =>
      newestHits(db, conversationId, { readerId, query, beforeId, limit: limit + 1 }))
    const rows = await foundMessages(database.autocommit, ids.slice(0, limit), readerId)
    return { messages: rows.map(row => messageView(row, row.status)), has_more: ids.length > limit }
  }

  return {
    search: (readerId, request) => turns.run(readerId, async () => {
      try {
        return await search(readerId, request)
      } catch (error) {
        if (databaseError(error)?.code !== QUERY_CANCELED) throw error
        throw invalid('query_too_broad', 'too many messages match: add a word, or name a conversation')
      }
    })
  }
}

async function newestHits (
  db: Executor, conversationId: string | undefined, query: SearchQuery
): Promise<string[]> {
  const conversations = await searchedConversations(db, query.readerId, conversationId)
  let hits: string[] = []
  for (let i = 0; i < conversations.length; i += CONVERSATIONS_PER_STATEMENT) {
    const last = hits[query.limit - 1]
    if (last !== undefined && last > conversations[i]!.last_message_id) break
    const found = await findHits(db, conversations.slice(i, i + CONVERSATIONS_PER_STATEMENT), query)
    hits = [...hits, ...found].sort().reverse().slice(0, query.limit)
  }
  return hits
}
