/**
 * Fills a migrated, empty database with a history for tests of plans.
 *
 * Of every 20 messages 6 belong to one huge conversation, 1 to a large group, 1 to a
 * conversation whose messages are hidden from the hub (a blocked partner), 1 to one
 * that holds nothing but the hub's own messages, 11 to small direct conversations of
 * ten messages each. They lie in the order of time, as they would when sent.
 */
import { bulkLoad } from './bulk-load.ts'

/** The user who is in all the special conversations and in many small ones. */
export const HUB = 'user-1'
/** The hub's partner in the huge conversation. */
export const PEER = 'user-2'
/** Joined the huge conversation at three quarters of it. */
export const LATE = 'user-3'
/** Blocked by the hub. */
export const BLOCKED = 'user-4'
/** The hub's partner in the conversation that only the hub writes to. */
export const SILENT = 'user-5'
export const RARE_WORD = 'zanzibar'
export const COMMON_WORD = 'hello'
export const GROUP_SIZE = 500

const id = (space: string, n: number): string =>
  `018e0000-${space}-7000-8000-${n.toString(16).padStart(12, '0')}`
export const HUGE = id('0001', 0)
export const GROUP = id('0001', 1)
export const HIDDEN = id('0001', 2)
export const OWN = id('0001', 3)
/** The `k`-th small direct conversation; the first `HUB_DIRECTS` are the hub's. */
export const directId = (k: number): string => id('0002', k)
/** Messages 0 to 5, 20 to 25 and so on are the huge conversation's. */
export const messageId = (n: number): string => id('0003', n)
export const HUB_DIRECTS = 2_000

const LARGE_TABLES = ['messages', 'message_words', 'inbox_events', 'delivery_status']

export async function fillHistory (url: string, messages: number, analyze = true): Promise<void> {
  await bulkLoad(url, LARGE_TABLES, async client => {
    for (const step of steps(messages)) await client.query(step)
  }, analyze)
}

const uuid = (space: string, n: string): string =>
  `('018e0000-${space}-7000-8000-' || lpad(to_hex(${n}), 12, '0'))::uuid`

function steps (total: number): string[] {
  const directs = Math.floor(total * 11 / 20 / 10)
  const users = Math.max(GROUP_SIZE, Math.floor(total / 50), HUB_DIRECTS + 10)
  const last = (share: number): number => Math.floor(total / 20) * share
  const at = (n: string): string => `timestamptz '2026-01-01' + (${n}) * interval '10 seconds'`
  const others = users - 10
  // The partners of direct conversation k: no pair comes twice.
  const first = `case when k < ${HUB_DIRECTS} then 1 else 10 + k % ${others} end`
  const second =
    `case when k < ${HUB_DIRECTS} then 10 + k else 10 + (k + 17 * (1 + k / ${others})) % ${others} end`
  return [
    `insert into users (id, name) select 'user-' || n, 'User ' || n from generate_series(1, ${users}) n`,

    `insert into conversations (id, type, direct_key, title, last_seq, message_count, last_activity_at)
     values ('${HUGE}', 'group', null, 'Huge', ${last(6)}, ${last(6)}, ${at(`${total}`)}),
            ('${GROUP}', 'group', null, 'Group', ${last(1)}, ${last(1)}, ${at(`${total}`)}),
            ('${HIDDEN}', 'direct', '${HUB}/${BLOCKED}', null, ${last(1)}, ${last(1)}, ${at(`${total}`)}),
            ('${OWN}', 'direct', '${HUB}/${SILENT}', null, ${last(1)}, ${last(1)}, ${at(`${total}`)})`,
    `insert into conversations (id, type, direct_key, last_seq, message_count, last_activity_at)
     select ${uuid('0002', 'k')}, 'direct', 'user-' || ${first} || '/user-' || ${second}, 10, 10,
            ${at(`${total} - ${directs} + k`)}
       from generate_series(0, ${directs - 1}) k`,

    `insert into conversation_participants (conversation_id, user_id, role, joined_at, joined_seq,
                                            last_delivered_seq, last_read_seq)
     values ('${HUGE}', '${HUB}', 'admin', ${at('0')}, 0, 0, 0),
            ('${HUGE}', '${PEER}', 'member', ${at('0')}, 0, ${last(6) - 100}, ${last(6) - 200}),
            ('${HUGE}', '${LATE}', 'member', ${at(`${total * 3 / 4}`)}, ${last(6) * 3 / 4},
             ${last(6) * 3 / 4}, ${last(6) * 3 / 4}),
            ('${HIDDEN}', '${HUB}', 'member', ${at('0')}, 0, 10, 10),
            ('${HIDDEN}', '${BLOCKED}', 'member', ${at('0')}, 0, 10, 10),
            ('${OWN}', '${HUB}', 'member', ${at('0')}, 0, 0, 0),
            ('${OWN}', '${SILENT}', 'member', ${at('0')}, 0, 0, 0)`,
    `update conversation_participants set shown_seq = 11, shown_at = ${at('220')}
      where conversation_id = '${HIDDEN}' and user_id = '${HUB}'`,
    `insert into conversation_participants (conversation_id, user_id, joined_at, joined_seq,
                                            last_delivered_seq, last_read_seq)
     select '${GROUP}', 'user-' || n, ${at('0')}, 0, ${last(1)} - n, ${last(1)} - 2 * n
       from generate_series(1, ${GROUP_SIZE}) n`,
    `insert into conversation_participants (conversation_id, user_id, joined_at, joined_seq,
                                            last_delivered_seq, last_read_seq)
     select ${uuid('0002', 'k')}, 'user-' || p, ${at('0')}, 0, 8, 6
       from generate_series(0, ${directs - 1}) k, lateral (values (${first}), (${second})) as v (p)`,

    `update conversations c
         set participant_count = (
               select count(*) from conversation_participants p
                where p.conversation_id = c.id and p.left_seq is null)`,

    `insert into messages (id, conversation_id, seq, sender_user_id, content, message_type, client_message_id,
                           client_fingerprint, hidden, created_at)
     select ${uuid('0003', 'n')},
            case when r < 6 then '${HUGE}'::uuid when r = 6 then '${GROUP}'::uuid
                 when r = 7 then '${HIDDEN}'::uuid when r = 8 then '${OWN}'::uuid
                 else ${uuid('0002', 'k')} end,
            case when r < 6 then n / 20 * 6 + r when r < 9 then n / 20 else d / ${directs} end + 1,
            case when r < 6 then (array['${HUB}', '${PEER}', '${PEER}', '${LATE}'])[
                                 1 + n % case when n > ${total * 3 / 4} then 4 else 3 end]
                 when r = 6 then 'user-' || 1 + n % ${GROUP_SIZE}
                 when r = 7 then '${BLOCKED}' when r = 8 then '${HUB}'
                 when d / ${directs} % 2 = 0 then 'user-' || ${first} else 'user-' || ${second} end,
            '${COMMON_WORD} word' || n % 1000 || ' thing' || n * 7 % 5000 ||
              case when n % ${Math.floor(total / 10)} = 1 then ' ${RARE_WORD}' else '' end,
            'text', case when n % 2 = 0 then 'c-' || n end, case when n % 2 = 0 then 'fingerprint' end,
            r = 7 and n / 20 > 10, ${at('n')}
       from (select n, n % 20 as r, n / 20 * 11 + n % 20 - 9 as d
               from generate_series(0, ${total - 1}) n) as n,
            lateral (select d % ${directs} as k) as c`,

    // As the indexer leaves it: long conversations are indexed but for their newest messages.
    `insert into search_progress (conversation_id, indexed_seq)
     select id, greatest(0, last_seq - 500) from conversations where id < '${directId(0)}'`,
    `insert into message_words (message_id, conversation_id, words)
     select m.id, m.conversation_id, to_tsvector('simple', m.content)
       from messages m join search_progress p on p.conversation_id = m.conversation_id
      where m.seq <= p.indexed_seq`,

    // The hub has an event per message of the huge conversation, receivers one per late direct message.
    `insert into inbox_events (user_id, seq, type, conversation_id, message_id, created_at)
     select '${HUB}', seq, case when sender_user_id = '${HUB}' then 'message_sent' else 'new_message' end,
            conversation_id, id, created_at
       from messages where conversation_id = '${HUGE}'`,
    `insert into inbox_events (user_id, seq, type, conversation_id, message_id, created_at)
     select user_id, row_number() over (partition by user_id order by id), 'new_message', conversation_id, id,
            created_at
       from (select m.*,
                    case when (m.seq - 1) % 2 = 1 then 'user-' || ${first}
                         else 'user-' || ${second} end as user_id
               from (select *, ('x' || right(conversation_id::text, 8))::bit(32)::int as k from messages
                      where conversation_id >= '${directId(0)}' and seq > 8) as m) as m
      where user_id <> '${HUB}'`,
    `update users set inbox_seq = e.last, acked_seq = greatest(0, e.last - 64)
       from (select user_id, max(seq) as last from inbox_events group by user_id) as e
      where e.user_id = users.id`,

    `insert into delivery_status (conversation_id, user_id, status, up_to_seq, at)
     select '${HUGE}', '${PEER}', s, seq, created_at from messages, (values ('delivered'), ('read')) as v (s)
      where conversation_id = '${HUGE}' and seq % 4 = 0 and seq < ${last(6) - 200}`,
    `insert into delivery_status (conversation_id, user_id, status, up_to_seq, at)
     select conversation_id, user_id, 'delivered', last_delivered_seq, joined_at
       from conversation_participants where conversation_id >= '${directId(0)}'`,

    `insert into reactions (message_id, user_id, emoji)
     select id, sender_user_id, '👍' from messages where seq % 10 = 3`,
    `insert into attachments (id, owner_user_id, content_type, size)
     select id, sender_user_id, 'image/png', 1000 from messages where seq % 50 = 4`,
    'insert into message_attachments (message_id, position, attachment_id) select id, 0, id from attachments',
    `insert into blocks (blocker_user_id, blocked_user_id) values ('${HUB}', '${BLOCKED}')`,
    `insert into blocks (blocker_user_id, blocked_user_id)
     select 'user-' || n, 'user-' || n + 1 from generate_series(10, ${Math.floor(users / 2)}) n`,
    `insert into devices (user_id, device_id, platform, push_token, acked_seq)
     select id, 'phone', 'android', 'token-' || id, acked_seq from users`,
    `insert into push_due (user_id, seq, due_at)
     select id, inbox_seq, now() - interval '1 minute' + row_number() over () * interval '1 second'
       from users where inbox_seq > 0`
  ]
}
