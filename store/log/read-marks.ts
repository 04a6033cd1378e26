/**
 * What read receipts read: how far an act of reading gets, which marks it raises, and which senders have
 * messages in between. The marks are raised with those of acknowledgements (receipts.ts).
 */
import { type Executor, type Statement } from '../database.ts'
import { lastOfEachSender } from '../messages/visible.ts'
import { type Participant, smallConversation } from './receipts.ts'

export interface ReadMark {
  conversation_id: string
  user_id: string
  up_to_seq: number
  client_at: Date | null
}

const READ_SENDERS: Statement = {
  name: 'receipts_read_senders',
  text: `
    select r.conversation_id, r.user_id, m.sender_user_id
      from unnest($1::uuid[], $2::text[], $3::bigint[]) as r (conversation_id, user_id, up_to_seq)
      join conversation_participants p on p.conversation_id = r.conversation_id and p.user_id = r.user_id
      cross join lateral (${lastOfEachSender({
        conversation: 'r.conversation_id', reader: 'r.user_id', after: 'p.last_read_seq', upTo: 'r.up_to_seq'
      })}) as m
     where ${smallConversation('r.conversation_id')}`
}

/** Senders who may have to learn of each read. Found without a lock; under the lock some may drop out. */
export async function sendersBelow (
  db: Executor, marks: ReadMark[]
): Promise<Array<Participant & { sender_user_id: string }>> {
  return marks.length === 0 ? [] : await db.rows(READ_SENDERS, markColumns(marks))
}

const READ: Statement = {
  name: 'receipts_read',
  text: `
    select p.conversation_id, p.user_id, p.joined_seq, p.last_delivered_seq, p.last_read_seq,
           r.up_to_seq as read_up_to,
           small.told, m.sender_user_id, m.id as message_id, m.seq as up_to_seq
      from unnest($1::uuid[], $2::text[], $3::bigint[]) as r (conversation_id, user_id, up_to_seq)
      join conversation_participants p on p.conversation_id = r.conversation_id and p.user_id = r.user_id
      cross join lateral (select ${smallConversation('p.conversation_id')} as told offset 0) as small
      left join lateral (${lastOfEachSender({
        conversation: 'p.conversation_id', reader: 'p.user_id', after: 'p.last_read_seq', upTo: 'r.up_to_seq'
      })}
      ) as m on small.told
     where p.last_read_seq < r.up_to_seq and p.left_seq is null
     order by m.sender_user_id, p.conversation_id, p.user_id`
}

/** A mark that rises, and one sender who learns of it; without a sender only the reader's own devices do. */
export interface RisingRead extends Participant {
  joined_seq: number
  last_delivered_seq: number
  last_read_seq: number
  read_up_to: number
  /** The conversation is small. */
  told: boolean
  sender_user_id: string | null
  /** The sender's last message below the mark. */
  message_id: string | null
  up_to_seq: number | null
}

/** Which of these marks rise, and which senders have messages in between. */
export async function risingReads (tx: Executor, marks: ReadMark[]): Promise<RisingRead[]> {
  return marks.length === 0 ? [] : await tx.rows(READ, markColumns(marks))
}

const markColumns = (marks: ReadMark[]): unknown[] => [
  marks.map(mark => mark.conversation_id), marks.map(mark => mark.user_id), marks.map(mark => mark.up_to_seq)
]

// In a direct conversation reading an own message reads up to the partner's last shown one below it: hidden
// ones between the two stay unread. Index: messages_sender_index.
const READABLES: Statement = {
  name: 'receipts_readables',
  text: `
    select r.i, m.conversation_id, m.seq, m.hidden, m.sender_user_id = r.reader as own,
           p.joined_seq, p.left_at,
           case when m.sender_user_id = r.reader and c.type = 'direct' then coalesce((
             select o.seq
               from conversation_participants s
               cross join lateral (
                 select o.seq from messages o
                  where o.conversation_id = m.conversation_id and o.sender_user_id = s.user_id
                    and not o.hidden and o.seq < m.seq
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

/**
 * Messages and what their would-be readers are to them, in the order asked for; undefined where there is no
 * such message.
 */
export async function findReadables (
  db: Executor, messageIds: string[], readers: string[]
): Promise<Array<Readable | undefined>> {
  const rows = await db.rows<Readable>(READABLES, [messageIds, readers])
  const found = new Map(rows.map(row => [row.i, row]))
  return messageIds.map((_, i) => found.get(i + 1))
}
