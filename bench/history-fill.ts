/**
 * Fills a migrated database that has no users yet with a history.
 *
 * The sizes of conversations follow a power law, as they do where people write
 * to each other: of ten million messages the largest conversation has some
 * 170,000, the median one 26. Messages lie in the order of time over 400 days.
 * Inboxes keep the last 30 days of them, all acknowledged. The given pairs of
 * users are spread evenly over the sizes; the first `PAGED` of them have
 * `PAGED_MESSAGES` more, so that a page is full at any size.
 */
import { INDEXED_FROM } from '../messaging/messages/search-indexer.ts'
import { bulkLoad } from './bulk-load.ts'

export const PAGED = 100
export const PAGED_MESSAGES = 120
const MESSAGES_PER_CONVERSATION = 50
const MESSAGES_PER_USER = 200
const MIN_USERS = 1_000
const EVERY_NTH_IS_A_GROUP = 10
const DAYS = 400
const INBOX_DAYS = 30
const LARGE_TABLES =
  ['messages', 'message_words', 'inbox_events', 'delivery_status', 'conversation_participants']

/** `pairs`: users of direct conversations that are to have a part of the history. */
export async function fillHistory (
  url: string, { messages, pairs }: { messages: number, pairs: Array<[string, string]> }
): Promise<void> {
  await bulkLoad(url, LARGE_TABLES, async client => {
    await client.query('create temporary table pairs (n int primary key, a text, b text)')
    await client.query(
      `insert into pairs
       select n - 1, a, b from unnest($1::text[], $2::text[]) with ordinality as p (a, b, n)`,
      [pairs.map(pair => pair[0]), pairs.map(pair => pair[1])]
    )
    for (const step of steps(messages, pairs.length)) await client.query(step)
  })
}

const uuid = (space: string, n: string): string =>
  `('018e0000-${space}-7000-8000-' || lpad(to_hex(${n}), 12, '0'))::uuid`

// Ids of messages begin with their milliseconds, as UUIDv7 do: new ones come behind.
const messageId = (at: string, n: string): string => {
  const hex = `lpad(to_hex((extract(epoch from ${at}) * 1000)::bigint), 12, '0')`
  const tail = `'-7000-8000-' || lpad(to_hex(${n}), 12, '0')`
  return `(left(${hex}, 8) || '-' || right(${hex}, 4) || ${tail})::uuid`
}

function steps (messages: number, pairs: number): string[] {
  const conversations = Math.max(Math.ceil(messages / MESSAGES_PER_CONVERSATION), pairs)
  const users = Math.max(MIN_USERS, Math.ceil(messages / MESSAGES_PER_USER))
  const extra = PAGED * PAGED_MESSAGES
  const total = messages + extra
  const at = `now() - interval '1 hour' - interval '${DAYS} days' * (1 - (i + 1) / ${total + 1}.0)`
  const every = Math.max(1, Math.floor(total / extra))
  const stride = Math.floor(conversations / pairs)
  const random = '((hashint8(i)::bigint + 2147483648) / 4294967296.0)'
  return [
    // k counts the conversations from the largest to the smallest.
    `create temporary table plan as
     select k, ${uuid('0001', 'k')} as id,
            p.n is null and k % ${EVERY_NTH_IS_A_GROUP} = 9 as is_group,
            coalesce(p.a, 'someone-' || k % ${users}) as a,
            coalesce(p.b, 'someone-' || (k + 1 + k / ${users}) % ${users}) as b
       from generate_series(0, ${conversations - 1}) k
       left join pairs p on p.n * ${stride} = k`,

    `create temporary table members as
     select k, id, a as user_id, 0 as place from plan
     union select k, id, b, 1 from plan where a <> b
     union
     select k, id, 'someone-' || (k * 7 + m * 31) % ${users}, m from plan, generate_series(2, 4 + k % 30) m
      where is_group`,
    `delete from members m using members o
      where m.k = o.k and m.user_id = o.user_id and m.place > o.place`,
    'create index on members (k, place)',
    'analyze plan, members',

    // Of every so many messages one is an extra one.
    // Of the rest the k-th conversation gets a share like k^(-2/3).
    `create temporary table said as
     select i, k, row_number() over (partition by k order by i) as seq, ${at} as at
       from (select i, case when i % ${every} = 0
                            then (i / ${every}) % ${Math.min(PAGED, pairs)} * ${stride}
                            else floor(${conversations} * power(${random}, 3))::int
                       end as k
               from generate_series(0, ${total - 1}) i) as drawn`,
    `create temporary table ends as
     select k, max(seq) as seq, max(i) as i, max(at) as at from said group by k`,
    'analyze said, ends',

    `insert into users (id, name)
     select distinct user_id, initcap(user_id) from members on conflict do nothing`,
    `insert into messages (id, conversation_id, seq, sender_user_id, content, message_type,
                           client_message_id, client_fingerprint, created_at)
     select ${messageId('s.at', 's.i')}, p.id, s.seq, case when hashint8(s.i) % 2 = 0 then p.a else p.b end,
            'the quick brown fox jumps over lazy dog ' || s.i % 1000 || ' word' || s.i * 7 % 5000,
            'text', 'history-' || s.i, 'fingerprint', s.at
       from said s join plan p on p.k = s.k
      order by s.i`,
    // As the indexer leaves it: long conversations are indexed.
    `insert into message_words (message_id, conversation_id, words)
     select m.id, m.conversation_id, to_tsvector('simple', m.content)
       from messages m
       join (select p.id from plan p join ends e on e.k = p.k and e.seq >= ${INDEXED_FROM}) as long
         on long.id = m.conversation_id`,
    `insert into search_progress (conversation_id, indexed_seq)
     select p.id, e.seq from plan p join ends e on e.k = p.k and e.seq >= ${INDEXED_FROM}`,
    `insert into conversations (id, type, direct_key, title, last_seq, message_count, last_message_id,
                                last_message_at, last_activity_at, created_at)
     select p.id, case when is_group then 'group' else 'direct' end,
            case when not is_group then least(a collate "C", b) || '/' || greatest(a collate "C", b) end,
            case when is_group then 'Group ' || p.k end, coalesce(e.seq, 0), coalesce(e.seq, 0),
            ${messageId('e.at', 'e.i')}, e.at, coalesce(e.at, now()), now() - interval '${DAYS} days'
       from plan p left join ends e on e.k = p.k`,
    `insert into conversation_participants (conversation_id, user_id, role, joined_at, joined_seq,
                                            last_delivered_seq, last_read_seq)
     select m.id, m.user_id, case when place = 0 then 'admin' else 'member' end,
            now() - interval '${DAYS} days', 0, coalesce(e.seq, 0), coalesce(e.seq, 0)
       from members m left join ends e on e.k = m.k`,
    // A mark for every fourth message: recipients hear of several at once.
    `insert into delivery_status (conversation_id, user_id, status, up_to_seq, at)
     select m.id, m.user_id, status, s.seq, s.at + interval '1 minute'
       from said s join ends e on e.k = s.k join members m on m.k = s.k and m.place < 2,
            (values ('delivered'), ('read')) as v (status)
      where s.seq % 4 = 0 or s.seq = e.seq`,
    `insert into inbox_events (user_id, seq, type, conversation_id, message_id, created_at)
     select m.user_id, row_number() over (partition by m.user_id order by s.i),
            case when m.place = case when hashint8(s.i) % 2 = 0 then 0 else 1 end then 'message_sent'
                 else 'new_message' end, m.id, ${messageId('s.at', 's.i')}, s.at
       from said s join members m on m.k = s.k
      where s.at > now() - interval '${INBOX_DAYS} days'`,
    `update users u set inbox_seq = e.last, acked_seq = e.last
       from (select user_id, max(seq) as last from inbox_events group by user_id) as e
      where e.user_id = u.id`,
    'drop table pairs, plan, members, said, ends'
  ]
}
