/** Presence: which users may see which others, and when each was last there. */
import { hiddenFrom } from './blocks.ts'
import { type Executor, type Statement } from '../database.ts'

/** The people a user's comings and goings are told to. */
export interface Audience { user_id: string, others: string[] }

// Indexes: conversation_participants_user_index, conversations_pkey,
// conversation_participants_pkey, blocks_pkey.
const AUDIENCES: Statement = {
  name: 'presence_audiences',
  text: `
    select p.user_id, array_agg(o.user_id) as others
      from conversation_participants p
      join conversations c on c.id = p.conversation_id and c.type = 'direct'
      join conversation_participants o
        on o.conversation_id = p.conversation_id and o.user_id <> p.user_id and o.left_seq is null
     where p.user_id = any($1::text[]) and p.left_at is null
       and not ${hiddenFrom('p.user_id', 'o.user_id')}
     group by p.user_id`
}

/** For many users at once; a user has no row when no other user may see them. */
export async function presenceAudiences (db: Executor, userIds: string[]): Promise<Audience[]> {
  return await db.rows(AUDIENCES, [userIds])
}

// Locked in id order, like every set of users; a later time that is already there stays.
const SEEN: Statement = {
  name: 'presence_seen',
  text: `
    with seen as materialized (
      select u.id, v.at
        from unnest($1::text[], $2::timestamptz[]) as v (id, at)
        join users u on u.id = v.id
       where u.last_seen_at is null or u.last_seen_at < v.at
       order by u.id
         for no key update of u
    )
    update users u
       set last_seen_at = seen.at
      from seen
     where u.id = seen.id`
}

export async function saveLastSeen (db: Executor, seen: Array<{ userId: string, at: Date }>): Promise<void> {
  await db.rows(SEEN, [seen.map(s => s.userId), seen.map(s => s.at)])
}

// Index: conversations_direct_key_unique. The key has the ids in one of two orders.
const VISIBLE: Statement = {
  name: 'presence_visible',
  text: `
    select u.last_seen_at, ${hiddenFrom('$1', '$2')} as hidden
      from users u
     where u.id = $2
       and ($1 = $2 or exists (
             select 1
               from conversations c
              where c.direct_key in ($1 || '/' || $2, $2 || '/' || $1)))`
}

/** Undefined when the two share no direct conversation; `hidden` when one of them blocks the other. */
export async function findLastSeen (
  db: Executor, viewerId: string, userId: string
): Promise<{ last_seen_at: Date | null, hidden: boolean } | undefined> {
  const [row] = await db.rows<{ last_seen_at: Date | null, hidden: boolean }>(VISIBLE, [viewerId, userId])
  return row
}
