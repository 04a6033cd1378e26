/**
 * The words of messages, by which search finds what lies behind the newest (search.ts).
 *
 * Sending writes nothing here: a message is indexed later, in sets, up to where search_progress
 * says. A transaction that changes what a message says writes its words, indexed or not, and the
 * indexer leaves alone what is there. So no order of the two leaves old words behind.
 */
import { type Executor, type Statement } from '../database.ts'

const BEGIN: Statement = {
  name: 'search_index_begin',
  text: 'insert into search_progress (conversation_id, indexed_seq) values ($1, 0) on conflict do nothing'
}

const LOCK: Statement = {
  name: 'search_index_lock',
  text: 'select indexed_seq from search_progress where conversation_id = $1 for update'
}

// Index: messages_conversation_seq_unique. Rows are written in the order of their ids, as those of
// several deleted messages are.
const ADD: Statement = {
  name: 'search_index_add',
  text: `
    with piece as materialized (
      select id, seq, content
        from messages
       where conversation_id = $1 and seq > $2
       order by seq
       limit $3
    ), added as (
      insert into message_words (message_id, conversation_id, words)
      select id, $1, to_tsvector('simple', content)
        from piece
       where content is not null
       order by id
      on conflict do nothing
    ), moved as (
      update search_progress
         set indexed_seq = (select max(seq) from piece)
       where conversation_id = $1 and exists (select 1 from piece)
    )
    select count(*) as count from piece`
}

/** Indexes up to `limit` further messages of a conversation; returns how many there were. */
export async function indexMessages (tx: Executor, conversationId: string, limit: number): Promise<number> {
  await tx.rows(BEGIN, [conversationId])
  const [progress] = await tx.rows<{ indexed_seq: number }>(LOCK, [conversationId])
  return await addWords(tx, conversationId, progress!.indexed_seq, limit)
}

/** Indexes up to `limit` messages after `seq`, to which the conversation is indexed and locked. */
export async function addWords (
  tx: Executor, conversationId: string, seq: number, limit: number
): Promise<number> {
  const [piece] = await tx.rows<{ count: number }>(ADD, [conversationId, seq, limit])
  return piece?.count ?? 0
}

// Indexes: conversations_pkey from $1 on, search_progress_pkey once per conversation.
const BEHIND: Statement = {
  name: 'search_index_behind',
  text: `
    select c.id, c.last_seq - coalesce(p.indexed_seq, 0) as waiting
      from (select id, last_seq from conversations where id > $1 order by id limit $2) as c
      left join lateral (
        select indexed_seq from search_progress where conversation_id = c.id limit 1) as p on true
     order by c.id`
}

/** A page of conversations by id, after `after`, and how many of their messages are not indexed. */
export async function unindexedCounts (
  db: Executor, after: string, limit: number
): Promise<Array<{ id: string, waiting: number }>> {
  return await db.rows(BEHIND, [after, limit])
}
