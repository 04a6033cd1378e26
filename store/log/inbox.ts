/**
 * The inbox log: one dense sequence of events per user.
 *
 * Invariant: a transaction that appends holds the user's row lock, and goes on from where the log
 * ends under it, so `seq` has no holes and commits in its own order. A row holds references and is
 * rendered when it is read, so edits and tombstones show in replays too.
 */
import { type EventType } from '../../core/events.ts'
import { type Executor, type Statement } from '../database.ts'
import { type InboxCounters } from '../locks.ts'
import { lockUsers, refuseUnless } from '../locks.ts'
import { type MessageRow, messageColumns } from '../messages/messages.ts'
import { overSets } from '../row-sets.ts'

export interface NewEvent {
  user_id: string
  type: EventType
  conversation_id: string | null
  message_id?: string | null
  data?: Record<string, unknown> | null
}

export interface AppendedEvent extends NewEvent { seq: number }

/** A log, and how many events it gets. */
interface Counted { user: InboxCounters, added: number }

export interface InboxRow {
  seq: number
  type: EventType
  conversation_id: string | null
  message_id: string | null
  data: Record<string, unknown> | null
  message: MessageRow | null
}

/** A receipt rises when its row is written: `data` says when only if that differs. Saves 44 bytes of WAL. */
const TIME_FIELDS: Partial<Record<EventType, string>> =
  { message_delivered: 'delivered_at', message_read: 'read_at' }

// One new row version per user, however many events there are and whatever was acknowledged.
const APPEND = overSets<[Counted, { event: AppendedEvent, data: string | null }]>({
  name: 'inbox_append',
  scalars: 2,
  sets: [
    {
      alias: 'v',
      columns: {
        id: ['text', ({ user }) => user.id],
        inbox_seq: ['bigint', ({ user }) => user.inbox_seq],
        added: ['int', ({ added }) => added],
        acked_seq: ['bigint', ({ user }) => user.acked_seq]
      }
    },
    {
      alias: 'e',
      columns: {
        user_id: ['text', ({ event }) => event.user_id],
        seq: ['bigint', ({ event }) => event.seq],
        type: ['text', ({ event }) => event.type],
        conversation_id: ['uuid', ({ event }) => event.conversation_id],
        message_id: ['uuid', ({ event }) => event.message_id ?? null],
        data: ['jsonb', ({ data }) => data]
      }
    }
  ],
  text: (counters, events) => `
    with counted as (
      update users u
         set inbox_seq = v.inbox_seq, acked_seq = greatest(u.acked_seq, v.acked_seq)
        from ${counters}
       where u.id = v.id and u.inbox_seq = v.inbox_seq - v.added
      returning 1
    ), appended as (
      insert into inbox_events (user_id, seq, type, conversation_id, message_id, data, created_at)
      select e.*, $1::timestamptz
        from ${events}
       where e.user_id is not null
    )
    ${refuseUnless('(select count(*) from counted) = $2::int')}`
})

/** Locks the users, numbers the events in the given order and appends them. */
export async function appendEvents (tx: Executor, events: NewEvent[], at: Date): Promise<AppendedEvent[]> {
  if (events.length === 0) return []
  const counters = await lockUsers(tx, [...new Set(events.map(event => event.user_id))])
  const appended = numberEvents(events, counters)
  await appendNumbered(tx, appended, counters.values(), at)
  return appended
}

/** Numbers events after the locked counters, which it moves. Events of unknown users are left out. */
export function numberEvents (events: NewEvent[], counters: Map<string, InboxCounters>): AppendedEvent[] {
  const numbered: AppendedEvent[] = []
  for (const event of events) {
    const counter = counters.get(event.user_id)
    if (counter !== undefined) numbered.push({ seq: ++counter.inbox_seq, ...event })
  }
  return numbered
}

/**
 * Writes events, and the counters of users, in id order, as they are by now. Throws a serialization failure
 * when another transaction has appended to one of the logs since its end was read: the users are locked from
 * here on, if they were not before.
 */
export async function appendNumbered (
  tx: Executor, events: AppendedEvent[], counters: Iterable<InboxCounters>, at: Date
): Promise<void> {
  const time = at.toISOString()
  const counted = new Map<string, Counted>()
  for (const user of counters) counted.set(user.id, { user, added: 0 })
  for (const { user_id } of events) counted.get(user_id)!.added++
  await APPEND(tx, [
    [...counted.values()], events.map(event => ({ event, data: dataToStore(event, time) }))
  ], at, counted.size)
}

function dataToStore ({ type, data }: AppendedEvent, createdAt: string): string | null {
  if (data == null) return null
  const field = TIME_FIELDS[type]
  const isKnown = field !== undefined && data[field] === createdAt
  return JSON.stringify(isKnown ? { ...data, [field]: undefined } : data)
}

function storedData ({ type, data, told_at }: Pick<EventRow, 'type' | 'data' | 'told_at'>): InboxRow['data'] {
  const field = TIME_FIELDS[type]
  return field === undefined || told_at === null ? data : { [field]: told_at.toISOString(), ...data }
}

// Index: inbox_events_pkey, then messages_pkey once per row.
const AFTER: Statement = {
  name: 'inbox_after',
  text: `
    select e.seq, e.type, e.conversation_id as event_conversation_id, e.message_id, e.data, e.told_at,
           ${messageColumns('m', 'e.user_id')}
      from (select user_id, seq, type, conversation_id, message_id, data,
                   case when type in ('message_delivered', 'message_read') then created_at end as told_at
              from inbox_events
             where user_id = $1 and seq > $2
             order by seq
             limit $3) as e
      left join messages m on m.id = e.message_id
     order by e.seq`
}

type EventRow = MessageRow & {
  seq: number,
  type: EventType,
  event_conversation_id: string | null,
  message_id: string | null,
  data: InboxRow['data'],
  told_at: Date | null
}

/**
 * Up to `limit` events after `seq`, oldest first. A first event beyond `seq + 1` means that the log was cut
 * off.
 */
export async function eventsAfter (
  db: Executor, userId: string, seq: number, limit: number
): Promise<InboxRow[]> {
  const rows = await db.rows<EventRow>(AFTER, [userId, seq, limit])
  return rows.map(({ seq, type, event_conversation_id, message_id, data, told_at, ...message }) => ({
    seq,
    type,
    conversation_id: event_conversation_id,
    message_id,
    data: storedData({ type, data, told_at }),
    message: message.id === null ? null : message
  }))
}

/** The event `seq` of a user's log, as it was committed at `at`; undefined: whenever that was. */
export interface CommittedEvent { userId: string, seq: number, at?: Date }

// Indexes: users_pkey, inbox_events_pkey.
const LOST: Statement = {
  name: 'inbox_lost',
  text: `
    select 1
      from unnest($1::text[], $2::bigint[], $3::timestamptz[]) as k (user_id, seq, at)
      cross join lateral (select inbox_seq from users where id = k.user_id offset 0) as u
      left join lateral (
             select created_at from inbox_events where user_id = k.user_id and seq = k.seq offset 0
           ) as e on true
     where u.inbox_seq < k.seq or e.created_at <> k.at
     limit 1`
}

/** Whether one of these events is not there: its log ends before it, or has another one in its place. */
export async function anyLost (db: Executor, events: CommittedEvent[]): Promise<boolean> {
  if (events.length === 0) return false
  const rows = await db.rows(
    LOST, [events.map(e => e.userId), events.map(e => e.seq), events.map(e => e.at ?? null)]
  )
  return rows.length > 0
}
