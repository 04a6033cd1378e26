/**
 * Full-text search over the conversations a user is in now.
 *
 * Each conversation's newest LOOKED_THROUGH messages are looked through one by one, as soon as they
 * are committed. Older ones are found by their words (search-index.ts), and only where the newest
 * did not fill the page: a word that is everywhere would match a large part of a large conversation.
 * That index begins with the conversation, so a search costs what the user's own conversations hold.
 */
import { type Executor, type Statement } from '../database.ts'
import { messageColumns, statusColumn, type MessageWithStatus } from './messages.ts'

/** The index must follow closer than this. */
export const LOOKED_THROUGH = 1_000

export interface SearchedConversation { conversation_id: string, joined_seq: number, last_message_id: string }

// Index: conversation_participants_user_index, then conversations_pkey once per own conversation.
const SEARCHED: Statement = {
  name: 'search_conversations',
  text: `
    select p.conversation_id, p.joined_seq, c.last_message_id
      from conversation_participants p
      cross join lateral (
        select c.last_message_id from conversations c where c.id = p.conversation_id limit 1) as c
     where p.user_id = $1 and p.left_at is null and c.last_message_id is not null
       and ($2::uuid is null or p.conversation_id = $2)
     order by c.last_message_id desc`
}

/**
 * Where a user's search looks, the conversation with the newest message first; `conversationId` narrows it to
 * one.
 */
export async function searchedConversations (
  db: Executor, userId: string, conversationId: string | undefined
): Promise<SearchedConversation[]> {
  return await db.rows(SEARCHED, [userId, conversationId ?? null])
}

const WORDS: Statement = {
  name: 'search_words',
  text: 'select numnode(websearch_to_tsquery(\'simple\', $1)) as words'
}

/** How many words and operators a query comes down to; none means that there is nothing to look for. */
export async function countWords (db: Executor, query: string): Promise<number> {
  const [row] = await db.rows<{ words: number }>(WORDS, [query])
  return row?.words ?? 0
}

const matches = (message: string): string =>
  `to_tsvector('simple', ${message}.content) @@ websearch_to_tsquery('simple', $3)`
const visible = (message: string): string =>
  `${message}.id < $5 and ${message}.seq > s.joined_seq and ${message}.deleted_at is null
              and (not ${message}.hidden or ${message}.sender_user_id = $4)
              and (${message}.withdrawn_at is null or ${message}.sender_user_id = $4)`

// Indexes: messages_conversation_seq_unique from the cursor downwards, then message_words_index.
// The cursor's place in a conversation is that of its first older message: ids of a conversation rise
// with seq.
const HITS: Statement = {
  name: 'search_hits',
  text: `
    select hit.id
      from unnest($1::uuid[], $2::bigint[]) as s (conversation_id, joined_seq)
      cross join lateral (
        with newest as materialized (
          select m.id
            from (select n.id, n.seq, n.content, n.sender_user_id, n.hidden, n.deleted_at, n.withdrawn_at
                    from messages n
                   where n.conversation_id = s.conversation_id and n.seq > s.joined_seq
                     and n.seq <= coalesce((
                           select c.seq from messages c
                            where c.id = $5 and c.conversation_id = s.conversation_id), 9223372036854775807)
                   order by n.seq desc
                   limit ${LOOKED_THROUGH}) as m
           where ${visible('m')} and ${matches('m')}
           order by m.id desc
           limit $6
        )
        (select id from newest)
        union
        (select m.id
           from message_words w
           cross join lateral (
             select o.id, o.seq, o.sender_user_id, o.hidden, o.deleted_at, o.withdrawn_at
               from messages o
              where o.id = w.message_id
              limit 1) as m
          where w.conversation_id = s.conversation_id
            and w.words @@ websearch_to_tsquery('simple', $3) and ${visible('m')}
            and (select count(*) from newest) < $6
          order by m.id desc
          limit $6)
      ) as hit
     order by hit.id desc
     limit $6`
}

export interface SearchQuery {
  readerId: string
  query: string
  /** Only messages with a smaller id. */
  beforeId: string
  limit: number
}

/** Ids of the messages found in these conversations, the newest first. */
export async function findHits (
  db: Executor, conversations: SearchedConversation[], { readerId, query, beforeId, limit }: SearchQuery
): Promise<string[]> {
  const rows = await db.rows<{ id: string }>(HITS, [
    conversations.map(c =>
      c.conversation_id), conversations.map(c => c.joined_seq), query, readerId, beforeId, limit
  ])
  return rows.map(row => row.id)
}

// Index: messages_pkey. What was deleted since it was found is left out.
const FOUND: Statement = {
  name: 'search_found',
  text: `
    select ${messageColumns('m', '$2')}, ${statusColumn('m', '$2')} as status
      from messages m
     where m.id = any($1::uuid[]) and m.deleted_at is null
     order by m.id desc`
}

export async function foundMessages (
  db: Executor, ids: string[], readerId: string
): Promise<MessageWithStatus[]> {
  return await db.rows(FOUND, [ids, readerId])
}
