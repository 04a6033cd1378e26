/**
 * What a reader sees of a conversation, read from one end and never more of it than asked for.
 *
 * Hidden messages exist in direct conversations only, where one side may have sent
 * any number of them since it was blocked. There each sender's messages are read
 * apart, so that those the reader does not see are not even passed over.
 * Indexes: messages_conversation_seq_unique for groups, messages_sender_index for direct conversations.
 */
export const rawColumns = (alias: string): string => [
  'id', 'conversation_id', 'seq', 'sender_user_id', 'content', 'message_type', 'mentions', 'reply_to_id',
  'client_message_id', 'hidden', 'created_at', 'edited_at', 'withdrawn_at', 'deleted_at'
].map(column => `${alias}.${column}`).join(', ')

export interface Visible {
  /** Expressions: the conversation's id, its type, the reader's id. */
  conversation: string
  type: string
  reader: string
  /** Condition on the seq of message `m`. */
  range: string
  direction: 'asc' | 'desc'
  limit: string | number
}

/** A query for the raw columns of messages, in order of `seq` within each half of its union. */
export const visibleMessages = ({ conversation, type, reader, range, direction, limit }: Visible): string => `
  (select ${rawColumns('m')}
     from messages m
    where ${type} = 'group' and m.conversation_id = ${conversation} and ${range}
    order by m.seq ${direction}
    limit ${limit})
  union all
  (select ${rawColumns('m')}
     from conversation_participants sender
     cross join (values (false), (true)) as kind (hidden)
     cross join lateral (
       select ${rawColumns('m')}
         from messages m
        where m.conversation_id = ${conversation} and m.sender_user_id = sender.user_id
          and m.hidden = kind.hidden and ${range}
        order by m.seq ${direction}
        limit ${limit}) as m
    where ${type} = 'direct' and sender.conversation_id = ${conversation}
      and (not kind.hidden or sender.user_id = ${reader})
    order by m.seq ${direction}
    limit ${limit})`

/** Up to this many messages are looked through one by one; beyond it each sender's last one is looked up. */
const LOOKED_THROUGH = 2_000

/**
 * A query for (sender_user_id, id, seq): the last message of every other sender, above `after`
 * and up to `upTo`, that is not hidden. One bound of `seq` to a lookup: with both the planner
 * expects a single row from either index, and may choose the one that passes over the messages
 * of all senders.
 */
export const lastOfEachSender = ({ conversation, reader, after, upTo }: {
  conversation: string, reader: string, after: string, upTo: string
}): string => `
  (select distinct on (m.sender_user_id) m.sender_user_id, m.id, m.seq
     from messages m
    where ${upTo} - ${after} <= ${LOOKED_THROUGH}
      and m.conversation_id = ${conversation} and m.seq > ${after} and m.seq <= ${upTo}
      and m.sender_user_id <> ${reader} and not m.hidden
    order by m.sender_user_id, m.seq desc)
  union all
  (select sender.user_id, m.id, m.seq
     from conversation_participants sender
     cross join lateral (
       select m.id, m.seq
         from messages m
        where m.conversation_id = ${conversation} and m.sender_user_id = sender.user_id
          and not m.hidden and m.seq <= ${upTo}
        order by m.seq desc
        limit 1) as m
    where ${upTo} - ${after} > ${LOOKED_THROUGH}
      and sender.conversation_id = ${conversation} and sender.user_id <> ${reader}
      and m.seq > ${after})`
