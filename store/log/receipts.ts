/**
 * Receipts: cumulative marks per participant, in small conversations when they rose (delivery_status),
 * and which senders have something to learn.
 *
 * Marks only rise. All callers hold the row locks of the readers and of every
 * sender concerned, so marks and events of one user never race.
 */
import { type Delivery } from '../../core/events.ts'
import { type Executor, type Statement } from '../database.ts'
import { refuseUnless } from '../locks.ts'
import { overSets } from '../row-sets.ts'

/** In larger conversations marks rise too, but nobody is told, and nothing says when. */
export const MAX_PARTICIPANTS_WITH_RECEIPT_EVENTS = 32

/** Whether changes of its participants' marks and names are told in this conversation. */
export const smallConversation = (conversation: string): string => `
  (select count(*) from (
     select 1 from conversation_participants s
      where s.conversation_id = ${conversation} and s.left_seq is null
      limit ${MAX_PARTICIPANTS_WITH_RECEIPT_EVENTS + 1}) as present)
  <= ${MAX_PARTICIPANTS_WITH_RECEIPT_EVENTS}`

/** A participant in a conversation. */
export interface Participant { conversation_id: string, user_id: string }

/** How far the messages of one stay were delivered. */
export interface DeliveredMark extends Participant {
  joined_seq: number
  /** Where an earlier stay ended; null for the present one, or the last. */
  ended_seq: number | null
  last_delivered_seq: number
}

// Index: conversation_participants_pkey, once per participant, and participant_stays_pkey for those who
// have not been in from the beginning.
const MARKS = overSets<[Participant]>({
  name: 'receipts_marks',
  scalars: 0,
  sets: [{
    alias: 'm',
    columns: { conversation_id: ['uuid', p => p.conversation_id], user_id: ['text', p => p.user_id] }
  }],
  text: participants => `
    select m.conversation_id, m.user_id, stay.joined_seq, stay.ended_seq, stay.last_delivered_seq
      from ${participants}
     cross join lateral (
        select p.joined_seq, p.last_delivered_seq
          from conversation_participants p
         where p.conversation_id = m.conversation_id and p.user_id = m.user_id
         limit 1) as p
     cross join lateral (
        select p.joined_seq, null::bigint as ended_seq, p.last_delivered_seq
        union all
        select s.joined_seq, s.left_seq, s.last_delivered_seq
          from participant_stays s
         where p.joined_seq > 0 and s.conversation_id = m.conversation_id and s.user_id = m.user_id
           and s.last_delivered_seq < s.left_seq) as stay`
})

/**
 * How far messages were delivered to these participants, in each stay with something left to deliver
 * and in the present one; this transaction has locked their users.
 */
export async function deliveredMarks (
  tx: Executor, participants: Participant[]
): Promise<DeliveredMark[]> {
  if (participants.length === 0) return []
  return await MARKS(tx, [participants])
}

// Who hears of a read was decided by how many are in. `on conflict` would log each of the rows twice.
const RAISE = overSets<[RaisedMarks, Rise]>({
  name: 'receipts_raise',
  scalars: 2,
  sets: [
    {
      alias: 'v',
      columns: {
        conversation_id: ['uuid', mark => mark.conversation_id],
        user_id: ['text', mark => mark.user_id],
        delivered: ['bigint', mark => mark.delivered],
        read: ['bigint', mark => mark.read],
        joined_seq: ['bigint', ({ since }) => since.joined_seq],
        delivered_before: ['bigint', ({ since }) => since.last_delivered_seq],
        read_before: ['bigint', ({ since }) => since.last_read_seq ?? null],
        told: ['boolean', mark => mark.told]
      }
    },
    {
      alias: 's',
      columns: {
        conversation_id: ['uuid', ({ mark }) => mark.conversation_id],
        user_id: ['text', ({ mark }) => mark.user_id],
        status: ['text', rise => rise.status],
        up_to_seq: ['bigint', ({ status, mark }) => mark[status]],
        client_at: ['timestamptz', ({ status, mark }) => status === 'read' ? mark.read_client_at : null]
      }
    }
  ],
  text: (marks, rises) => `
    with moved as (
      update conversation_participants p
         set last_delivered_seq = greatest(p.last_delivered_seq, v.delivered),
             last_read_seq = greatest(p.last_read_seq, v.read),
             last_read_at = case when v.read > p.last_read_seq then $1 else p.last_read_at end
        from ${marks}
       where p.conversation_id = v.conversation_id and p.user_id = v.user_id
         and p.joined_seq = v.joined_seq and p.last_delivered_seq = v.delivered_before
         and (v.read = 0 or
              (p.last_read_seq = v.read_before and (${smallConversation('v.conversation_id')}) = v.told))
      returning 1
    ), kept as (
      insert into delivery_status (conversation_id, user_id, status, up_to_seq, at, client_at)
      select s.conversation_id, s.user_id, s.status, s.up_to_seq, $1::timestamptz, s.client_at
        from ${rises}
       where s.user_id is not null
         and not exists (
               select 1 from delivery_status d
                where d.conversation_id = s.conversation_id and d.user_id = s.user_id and d.status = s.status
                  and d.up_to_seq = s.up_to_seq)
    )
    ${refuseUnless('(select count(*) from moved) = $2::int')}`
})

/** A mark that rises, one of its two numbers. */
interface Rise { mark: RaisedMarks, status: 'delivered' | 'read' }

export interface Since { joined_seq: number, last_delivered_seq: number, last_read_seq?: number }

/** New marks of one participant; 0 leaves one as it is. */
export interface RaisedMarks extends Participant {
  /** Of which stay, as in DeliveredMark; nothing of an earlier one is read any more. */
  ended_seq: number | null
  delivered: number
  read: number
  read_client_at: Date | null
  /** The conversation is small: it is kept when. */
  told: boolean
  /** What the stay was when this was decided. */
  since: Since
}

// Index: participant_stays_pkey.
const RAISE_EARLIER: Statement = {
  name: 'receipts_raise_earlier',
  text: `
    with moved as (
      update participant_stays s
         set last_delivered_seq = v.delivered
        from unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[])
             as v (conversation_id, user_id, left_seq, delivered, delivered_before)
       where s.conversation_id = v.conversation_id and s.user_id = v.user_id and s.left_seq = v.left_seq
         and s.last_delivered_seq = v.delivered_before
      returning 1
    )
    ${refuseUnless('(select count(*) from moved) = cardinality($1)')}`
}

/**
 * Raises marks, and in small conversations keeps when. Throws a serialization failure when a stay is not what
 * it was any more.
 */
export async function raiseMarks (tx: Executor, raised: RaisedMarks[], at: Date): Promise<void> {
  if (raised.length === 0) return
  const earlier = raised.filter(mark => mark.ended_seq !== null)
  const marks = raised.filter(mark => mark.ended_seq === null)
  const rises = raised.flatMap(mark => (['delivered', 'read'] as const).flatMap(status =>
    mark.told && mark[status] > 0 ? [{ mark, status }] : []))
  const written = RAISE(tx, [marks, rises], at, marks.length)
  await Promise.all([written, ...(earlier.length === 0
    ? []
    : [tx.rows(RAISE_EARLIER, [
        earlier.map(m => m.conversation_id), earlier.map(m => m.user_id), earlier.map(m => m.ended_seq),
        earlier.map(m => m.delivered), earlier.map(m => m.since.last_delivered_seq)
      ])])])
}

// A page of a log and what it delivers, the last message of each sender in each conversation.
// Indexes: inbox_events_pkey from where the user has got to, messages_pkey once per event.
const DELIVERIES: Statement = {
  name: 'receipts_deliveries',
  text: `
    with page as materialized (
      select e.seq, e.type, e.message_id
        from users u
        join inbox_events e on e.user_id = u.id and e.seq > u.acked_seq and e.seq <= $2
       where u.id = $1
       order by e.seq
       limit $3
    )
    select (select max(seq) from page) as page_end, (select count(*) from page)::int as page_events,
           m.conversation_id, m.sender_user_id, max(m.seq) as seq, min(m.created_at) as stored_at,
           (array_agg(m.id order by m.seq desc))[1] as message_id,
           ${smallConversation('m.conversation_id')} as told
      from (values (true)) as always (there)
      left join (page join messages m on page.type = 'new_message' and m.id = page.message_id) on true
     group by m.conversation_id, m.sender_user_id`
}

type DeliveryRow = { page_end: number | null, page_events: number } &
  ({ [K in keyof Delivery]: K extends 'stored_at' ? Date : Delivery[K] } | { conversation_id: null })

/**
 * What the next events of a user's log deliver: at most `limit` of those not acknowledged, none beyond
 * `upTo`.
 */
export async function nextDeliveries (
  db: Executor, userId: string, upTo: number, limit: number
): Promise<{ upTo: number, deliveries: Delivery[] }> {
  const rows = await db.rows<DeliveryRow>(DELIVERIES, [userId, upTo, limit])
  const { page_end: end = null, page_events: events = 0 } = rows[0] ?? {}
  return {
    upTo: end === null || events < limit ? upTo : end,
    deliveries: rows.flatMap(row => row.conversation_id === null
      ? []
      : [{
          conversation_id: row.conversation_id,
          sender_user_id: row.sender_user_id,
          message_id: row.message_id,
          seq: row.seq,
          stored_at: row.stored_at.getTime(),
          told: row.told
        }])
  }
}

const TOLD: Statement = {
  name: 'receipts_told',
  text: `
    select c.id, ${smallConversation('c.id')} as told from unnest($1::uuid[]) as c (id)`
}

/** In which of these conversations senders hear of receipts. */
export async function conversationsWithReceipts (db: Executor, ids: string[]): Promise<Set<string>> {
  if (ids.length === 0) return new Set()
  const rows = await db.rows<{ id: string, told: boolean }>(TOLD, [ids])
  return new Set(rows.filter(row => row.told).map(row => row.id))
}
