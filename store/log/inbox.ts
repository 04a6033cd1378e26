/**
 * The inbox log: one dense sequence of events per user.
 *
 * Invariant: whoever appends holds the user's row lock, so `seq` has no holes
 * and commits in its own order. A row holds references and is rendered when it
 * is read, so edits and tombstones show in replays too.
 */
import { type EventType } from '../../core/events.ts'
import { type Executor, type Statement } from '../database.ts'
import { type InboxCounters } from '../people/users.ts'
import { lockUsers } from '../locks.ts'
import { type MessageRow, messageColumns } from '../messages/messages.ts'

export interface NewEvent {
  user_id: string
  type: EventType
  conversation_id: string | null
  message_id?: string | null
  data?: Record<string, unknown> | null
}

export interface AppendedEvent extends NewEvent { seq: number }

export interface InboxRow {
  seq: number
  type: EventType
  conversation_id: string | null
  message_id: string | null
  data: Record<string, unknown> | null
  message: MessageRow | null
}

const APPEND: Statement = {
  name: 'inbox_append',
  text: `
    with counted as (
      update users
         set inbox_seq = v.inbox_seq
        from unnest($1::text[], $2::bigint[]) as v (id, inbox_seq)
       where users.id = v.id
    )
    insert into inbox_events (user_id, seq, type, conversation_id, message_id, data, created_at)
    select * from unnest($3::text[], $4::bigint[], $5::text[], $6::uuid[], $7::uuid[], $8::jsonb[])
                  as e (user_id, seq, type, conversation_id, message_id, data), (values ($9::timestamptz)) as t (created_at)`
}

/** Locks the users, numbers the events in the given order and appends them. */
export async function appendEvents (tx: Executor, events: NewEvent[], at: Date): Promise<AppendedEvent[]> {
  if (events.length === 0) return []
  const counters = await lockUsers(tx, [...new Set(events.map(event => event.user_id))])
  const appended = numberEvents(events, counters)
  await insertEvents(tx, appended, at)
  return appended
}

/** Numbers events after the locked counters, which it moves. Events of unknown users are left out. */
export function numberEvents (events: NewEvent[], counters: Map<string, InboxCounters>): AppendedEvent[] {
  const numbered: AppendedEvent[] = []
  for (const event of events) {
    const counter = counters.get(event.user_id)
    if (counter !== undefined) numbered.push({ ...event, seq: ++counter.inbox_seq })
  }
  return numbered
}

/** The users must be locked by this transaction. */
export async function insertEvents (tx: Executor, events: AppendedEvent[], at: Date): Promise<void> {
  if (events.length === 0) return
  const ends = new Map(events.map(event => [event.user_id, event.seq]))
  await tx.rows(APPEND, [
    [...ends.keys()], [...ends.values()],
    events.map(event => event.user_id), events.map(event => event.seq), events.map(event => event.type),
    events.map(event => event.conversation_id), events.map(event => event.message_id ?? null),
    events.map(event => event.data == null ? null : JSON.stringify(event.data)), at
  ])
}

// Index: inbox_events_pkey, then messages_pkey once per row.
const AFTER: Statement = {
  name: 'inbox_after',
  text: `
    select e.seq, e.type, e.conversation_id as event_conversation_id, e.message_id, e.data, ${messageColumns('m', 'e.user_id')}
      from inbox_events e
      left join messages m on m.id = e.message_id
     where e.user_id = $1 and e.seq > $2
     order by e.seq
     limit $3`
}

type EventRow = MessageRow & {
  seq: number,
  type: EventType,
  event_conversation_id: string | null,
  message_id: string | null,
  data: InboxRow['data']
}

/** Up to `limit` events after `seq`, oldest first. A first event beyond `seq + 1` means that the log was cut off. */
export async function eventsAfter (
  db: Executor, userId: string, seq: number, limit: number
): Promise<InboxRow[]> {
  const rows = await db.rows<EventRow>(AFTER, [userId, seq, limit])
  return rows.map(({ seq, type, event_conversation_id, message_id, data, ...message }) => ({
    seq,
    type,
    conversation_id: event_conversation_id,
    message_id,
    data,
    message: message.id === null ? null : message
  }))
}
