/**
 * When marks rose (delivery_status), and what each recipient has done with a message. The marks themselves
 * say whether; the times are kept for some time only, and in small conversations.
 */
import { type Executor, type Statement } from '../database.ts'
import { staysAt } from '../stays.ts'

// A conversation that was large kept no times: for the messages until now, later ones say nothing.
const FENCE: Statement = {
  name: 'receipts_fence',
  text: `
    insert into delivery_status (conversation_id, user_id, status, up_to_seq, at)
    select p.conversation_id, p.user_id, s.status, s.up_to_seq, timestamptz 'epoch'
      from conversation_participants p
     cross join lateral (values ('delivered', p.last_delivered_seq), ('read', p.last_read_seq))
           as s (status, up_to_seq)
     where p.conversation_id = $1 and p.left_seq is null and s.up_to_seq > p.joined_seq
    on conflict do nothing`
}

/** Times are kept from here on; the conversation must be locked by this transaction. */
export async function keepTimes (tx: Executor, conversationId: string): Promise<void> {
  await tx.rows(FENCE, [conversationId])
}

// Index: delivery_status_pkey; the first mark of the stay at or above the message says when. An old one may
// stand for others, which are gone.
const STATUS: Statement = {
  name: 'receipts_status',
  text: `
    select p.user_id,
           case when p.last_read_seq >= $2 then 'read'
                when p.last_delivered_seq >= $2 then 'delivered'
                else 'sent'
           end as status,
           (select case when d.at >= $4 then d.at end from delivery_status d
             where d.conversation_id = $1 and d.user_id = p.user_id and d.status = 'delivered'
               and d.up_to_seq >= $2 and (p.left_seq is null or d.up_to_seq <= p.left_seq)
             order by d.up_to_seq limit 1) as delivered_at,
           (select case when d.at >= $4 then d.at end from delivery_status d
             where d.conversation_id = $1 and d.user_id = p.user_id and d.status = 'read'
               and d.up_to_seq >= $2 and (p.left_seq is null or d.up_to_seq <= p.left_seq)
             order by d.up_to_seq limit 1) as read_at
      from (${staysAt('$1', '$2', ['user_id', 'left_seq', 'last_delivered_seq', 'last_read_seq'])}) as p
     where p.user_id <> $3
     order by p.user_id`
}

export interface RecipientStatus {
  user_id: string
  status: 'sent' | 'delivered' | 'read'
  delivered_at: Date | null
  read_at: Date | null
}

/**
 * The recipients of one message, who are those present when it was sent, and what each has done. Null
 * where it is not known when, as for everything before `knownSince`.
 */
export async function recipientStatuses (
  db: Executor, conversationId: string, seq: number, senderId: string, knownSince: Date
): Promise<RecipientStatus[]> {
  return await db.rows(STATUS, [conversationId, seq, senderId, knownSince])
}
