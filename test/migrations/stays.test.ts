import pg from 'pg'
import { expect, test } from 'vitest'
import { runSql } from '../support/database.ts'
import { databaseBefore } from './before.ts'

const GROUP = '00000000-0000-7000-8000-0000000000aa'
const message = (seq: number): string => `00000000-0000-7000-8000-00000000000${seq}`

/**
 * Bob was in for the messages 1 and 2, of which he read the first, and is in again since message 4.
 * Carol has left, and was in once.
 */
const WORLD = `
  insert into users (id) values ('alice'), ('bob'), ('carol');
  insert into conversations (id, type, last_seq, last_activity_at) values ('${GROUP}', 'group', 5, now());
  insert into conversation_participants
         (conversation_id, user_id, joined_at, joined_seq, left_at, left_seq,
          last_delivered_seq, last_read_seq)
  values ('${GROUP}', 'alice', now(), 0, null, null, 0, 0),
         ('${GROUP}', 'bob', now(), 3, null, null, 4, 3),
         ('${GROUP}', 'carol', now(), 1, now(), 2, 2, 1);
  insert into messages (id, conversation_id, seq, sender_user_id, content, message_type, created_at)
  select ('00000000-0000-7000-8000-00000000000' || n)::uuid, '${GROUP}', n, 'alice', 'hello', 'text', now()
    from generate_series(1, 5) as n;
  insert into delivery_status (conversation_id, user_id, status, up_to_seq, at)
  values ('${GROUP}', 'bob', 'delivered', 1, now()), ('${GROUP}', 'bob', 'read', 1, now()),
         ('${GROUP}', 'bob', 'delivered', 2, now()), ('${GROUP}', 'bob', 'delivered', 4, now());
  insert into inbox_events (user_id, seq, type, conversation_id, message_id, data, created_at)
  values ('bob', 1, 'conversation_created', '${GROUP}', null, null, '2026-01-01T00:00:00Z'),
         ('bob', 2, 'new_message', '${GROUP}', '${message(1)}', null, '2026-01-01T00:01:00Z'),
         ('bob', 3, 'new_message', '${GROUP}', '${message(2)}', null, '2026-01-01T00:02:00Z'),
         ('bob', 4, 'participant_removed', '${GROUP}', null, '{"user_id":"carol"}', '2026-01-01T00:02:00Z'),
         ('bob', 5, 'participant_removed', '${GROUP}', null, '{"user_id":"bob"}', '2026-01-01T00:03:00Z'),
         ('bob', 6, 'conversation_created', '${GROUP}', null, null, '2026-01-01T00:04:00Z'),
         ('bob', 7, 'new_message', '${GROUP}', '${message(4)}', null, '2026-01-01T00:05:00Z'),
         ('carol', 1, 'conversation_created', '${GROUP}', null, null, '2026-01-01T00:01:30Z'),
         ('carol', 2, 'new_message', '${GROUP}', '${message(2)}', null, '2026-01-01T00:02:00Z'),
         ('carol', 3, 'participant_removed', '${GROUP}', null, '{"user_id":"carol"}', '2026-01-01T00:02:00Z')`

test('stays that a rejoin had overwritten come back from the log, with their marks', async () => {
  await using database = await databaseBefore('stays')
  await runSql(database.url, WORLD)
  await database.migrate()
  const client = new pg.Client({ connectionString: database.url })
  await client.connect()
  const { rows } = await client.query(`
    select user_id, joined_seq::int, left_seq::int, last_delivered_seq::int, last_read_seq::int,
           joined_at, left_at
      from participant_stays`)
  await client.end()
  expect(rows).toEqual([{
    user_id: 'bob',
    joined_seq: 0,
    left_seq: 2,
    last_delivered_seq: 2,
    last_read_seq: 1,
    joined_at: new Date('2026-01-01T00:00:00Z'),
    left_at: new Date('2026-01-01T00:03:00Z')
  }])
})
