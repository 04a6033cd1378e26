/**
 * Receipts: cumulative marks per participant, the append-only history behind
 * them, and which senders have something to learn.
 *
 * Marks only rise. All callers hold the row locks of the readers and of every
 * sender concerned, so marks and events of one user never race.
 */
import { type Executor, type Statement } from '../database.ts'
import { lastOfEachSender } from '../messages/visible.ts'

/** Receipts are recorded in larger conversations too, but raise no events there. */
export const MAX_PARTICIPANTS_WITH_RECEIPT_EVENTS = 32

/** One sender learns that `user_id` has all of the sender's messages up to `up_to_seq`, the last of which is `message_id`. */
export interface Receipt {
  conversation_id: string
  user_id: string
  sender_user_id: string
  message_id: string
  up_to_seq: number
  /** When the first of them was stored. */
  oldest_at: Date
}

export interface InboxRange { user_id: string, after: number, up_to: number }

/** Whether changes of its participants' marks and names are told in this conversation. */
export const smallConversation = (conversation: string): string => `
  (select count(*) from (
     select 1 from conversation_participants s
      where s.conversation_id = ${conversation} and s.left_at is null
      limit ${MAX_PARTICIPANTS_WITH_RECEIPT_EVENTS + 1}) as present) <= ${MAX_PARTICIPANTS_WITH_RECEIPT_EVENTS}`

const DELIVER: Statement = {
  name: 'receipts_deliver',
  text: `
    with got as materialized (
      select a.user_id, m.conversation_id, m.sender_user_id, max(m.seq) as up_to_seq, min(m.created_at) as oldest_at,
             (array_agg(m.id order by m.seq desc))[1] as message_id
        from unnest($1::text[], $2::bigint[], $3::bigint[]) as a (user_id, after, up_to)
        join inbox_events e on e.user_id = a.user_id and e.seq > a.after and e.seq <= a.up_to and e.type = 'new_message'
        join messages m on m.id = e.message_id
       group by a.user_id, m.conversation_id, m.sender_user_id
    ), reached as (
      select user_id, conversation_id, max(up_to_seq) as up_to_seq from got group by user_id, conversation_id
    ), news as materialized (
      select p.conversation_id, p.user_id, p.last_delivered_seq as was, r.up_to_seq
        from reached r
        join conversation_participants p on p.conversation_id = r.conversation_id and p.user_id = r.user_id
       where p.last_delivered_seq < r.up_to_seq
    ), moved as (
      update conversation_participants p
         set last_delivered_seq = n.up_to_seq
        from news n
       where p.conversation_id = n.conversation_id and p.user_id = n.user_id
    ), marked as (
      insert into delivery_status (conversation_id, user_id, status, up_to_seq, at)
      select conversation_id, user_id, 'delivered', up_to_seq, $4::timestamptz from news
      on conflict do nothing
    )
    select g.conversation_id, g.user_id, g.sender_user_id, g.message_id, g.up_to_seq, g.oldest_at
      from got g
      join news n on n.conversation_id = g.conversation_id and n.user_id = g.user_id and g.up_to_seq > n.was
     where ${smallConversation('g.conversation_id')}
     order by g.sender_user_id, g.conversation_id, g.user_id`
}

/** Raises delivered marks for what was acknowledged; returns what the senders are to learn. */
export async function raiseDelivered (tx: Executor, ranges: InboxRange[], at: Date): Promise<Receipt[]> {
  if (ranges.length === 0) return []
  return await tx.rows(DELIVER, [
    ranges.map(range => range.user_id), ranges.map(range => range.after), ranges.map(range => range.up_to), at
  ])
}

export interface ReadMark {
  conversation_id: string
  user_id: string
  up_to_seq: number
  client_at: Date | null
}

const READ_SENDERS: Statement = {
  name: 'receipts_read_senders',
  text: `
    select distinct m.sender_user_id as id
      from unnest($1::uuid[], $2::text[], $3::bigint[]) as r (conversation_id, user_id, up_to_seq)
      join conversation_participants p on p.conversation_id = r.conversation_id and p.user_id = r.user_id
      cross join lateral (${lastOfEachSender({ conversation: 'r.conversation_id', reader: 'r.user_id', after: 'p.last_read_seq', upTo: 'r.up_to_seq' })}) as m
     where ${smallConversation('r.conversation_id')}`
}

/** Senders who may have to learn of these reads; found without a lock, a superset of what remains under it. */
export async function sendersBelow (tx: Executor, marks: ReadMark[]): Promise<string[]> {
  const rows = await tx.rows<{ id: string }>(READ_SENDERS, markColumns(marks))
  return rows.map(row => row.id)
}

const READ: Statement = {
  name: 'receipts_read',
  text: `
    with news as materialized (
      select p.conversation_id, p.user_id, p.last_read_seq as was, p.last_delivered_seq as was_delivered, r.up_to_seq, r.client_at
        from unnest($1::uuid[], $2::text[], $3::bigint[], $4::timestamptz[]) as r (conversation_id, user_id, up_to_seq, client_at)
        join conversation_participants p on p.conversation_id = r.conversation_id and p.user_id = r.user_id
       where p.last_read_seq < r.up_to_seq and p.left_at is null
    ), moved as (
      update conversation_participants p
         set last_read_seq = n.up_to_seq, last_delivered_seq = greatest(p.last_delivered_seq, n.up_to_seq)
        from news n
       where p.conversation_id = n.conversation_id and p.user_id = n.user_id
    ), marked as (
      insert into delivery_status (conversation_id, user_id, status, up_to_seq, at, client_at)
      select conversation_id, user_id, 'read', up_to_seq, $5::timestamptz, client_at from news
      union all
      select conversation_id, user_id, 'delivered', up_to_seq, $5::timestamptz, null from news where was_delivered < up_to_seq
      on conflict do nothing
    )
    select n.conversation_id, n.user_id, m.sender_user_id, m.id as message_id, m.seq as up_to_seq, n.up_to_seq as read_up_to
      from news n
      left join lateral (${lastOfEachSender({ conversation: 'n.conversation_id', reader: 'n.user_id', after: 'n.was', upTo: 'n.up_to_seq' })}
      ) as m on ${smallConversation('n.conversation_id')}
     order by m.sender_user_id, n.conversation_id, n.user_id`
}

/** Without a sender when only the reader's own devices have something to learn. */
export type ReadReceipt = Omit<Receipt, 'sender_user_id' | 'message_id' | 'oldest_at'> & {
  sender_user_id: string | null, message_id: string | null, read_up_to: number
}

/** Raises read marks (read implies delivered); returns what senders and readers are to learn. */
export async function raiseRead (tx: Executor, marks: ReadMark[], at: Date): Promise<ReadReceipt[]> {
  return await tx.rows(READ, [...markColumns(marks), marks.map(mark => mark.client_at), at])
}

const markColumns = (marks: ReadMark[]): unknown[] => [
  marks.map(mark => mark.conversation_id), marks.map(mark => mark.user_id), marks.map(mark => mark.up_to_seq)
]

// Index: delivery_status_pkey; the first mark at or above the message says when.
const STATUS: Statement = {
  name: 'receipts_status',
  text: `
    select p.user_id,
           case when p.last_read_seq >= $2 then 'read' when p.last_delivered_seq >= $2 then 'delivered' else 'sent' end as status,
           (select d.at from delivery_status d
             where d.conversation_id = $1 and d.user_id = p.user_id and d.status = 'delivered' and d.up_to_seq >= $2
             order by d.up_to_seq limit 1) as delivered_at,
           (select d.at from delivery_status d
             where d.conversation_id = $1 and d.user_id = p.user_id and d.status = 'read' and d.up_to_seq >= $2
             order by d.up_to_seq limit 1) as read_at
      from conversation_participants p
     where p.conversation_id = $1 and p.user_id <> $3
       and p.joined_seq < $2 and (p.left_seq is null or p.left_seq >= $2)
     order by p.user_id`
}

export interface RecipientStatus {
  user_id: string
  status: 'sent' | 'delivered' | 'read'
  delivered_at: Date | null
  read_at: Date | null
}

/** The recipients of one message, who are those present when it was sent, and what each has done. */
export async function recipientStatuses (
  db: Executor, conversationId: string, seq: number, senderId: string
): Promise<RecipientStatus[]> {
  return await db.rows(STATUS, [conversationId, seq, senderId])
}

// In a direct conversation reading an own message reads up to the partner's last shown one below it: hidden ones
// between the two stay unread. Index: messages_sender_index.
const READABLES: Statement = {
  name: 'receipts_readables',
  text: `
    select r.i, m.conversation_id, m.seq, m.hidden, m.sender_user_id = r.reader as own, p.joined_seq, p.left_at,
           case when m.sender_user_id = r.reader and c.type = 'direct' then coalesce((
             select o.seq
               from conversation_participants s
               cross join lateral (
                 select o.seq from messages o
                  where o.conversation_id = m.conversation_id and o.sender_user_id = s.user_id and not o.hidden and o.seq < m.seq
                  order by o.seq desc limit 1) as o
              where s.conversation_id = m.conversation_id and s.user_id <> r.reader), 0)
           else m.seq end as up_to_seq
      from unnest($1::uuid[], $2::text[]) with ordinality as r (message_id, reader, i)
      join messages m on m.id = r.message_id
      join conversations c on c.id = m.conversation_id
      left join conversation_participants p on p.conversation_id = m.conversation_id and p.user_id = r.reader`
}

export interface Readable {
  i: number
  conversation_id: string
  seq: number
  up_to_seq: number
  hidden: boolean
  own: boolean
  joined_seq: number | null
  left_at: Date | null
}

/** Messages and what their would-be readers are to them, in the order asked for; undefined where there is no such message. */
export async function findReadables (
  db: Executor, messageIds: string[], readers: string[]
): Promise<Array<Readable | undefined>> {
  const rows = await db.rows<Readable>(READABLES, [messageIds, readers])
  const found = new Map(rows.map(row => [row.i, row]))
  return messageIds.map((_, i) => found.get(i + 1))
}
