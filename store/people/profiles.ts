/** The names of users, who has a copy of them, and who may see which profile. */
import { eq } from 'drizzle-orm'
import { users } from '../../migrations/schema.ts'
import { type Executor, type Statement } from '../database.ts'
import { smallConversation } from '../log/receipts.ts'

/** A change is told in this many conversations of 32 participants at most, those with the latest activity. */
const MAX_CONVERSATIONS_TOLD = 500
/** So many of them in one transaction: 1,024 events at most. */
export const CONVERSATIONS_PER_PIECE = 32

export interface StoredName { name: string | null, name_changed_at: Date | null }

export async function findName (db: Executor, userId: string): Promise<StoredName | undefined> {
  const [row] = await db.orm.select({ name: users.name, name_changed_at: users.name_changed_at }).from(users)
    .where(eq(users.id, userId))
  return row
}

export async function setName (tx: Executor, userId: string, name: StoredName): Promise<void> {
  await tx.orm.update(users).set(name).where(eq(users.id, userId))
}

// Indexes: conversation_participants_user_index, conversations_pkey, conversation_participants_pkey.
const AUDIENCE: Statement = {
  name: 'profiles_audience',
  text: `
    select o.conversation_id, o.user_id
      from (select conversation_id
              from (select p.conversation_id
                      from conversation_participants p
                      join conversations c on c.id = p.conversation_id
                     where p.user_id = $1 and p.left_at is null and ${smallConversation('p.conversation_id')}
                     order by c.last_activity_at desc
                     limit ${MAX_CONVERSATIONS_TOLD}) as latest
             where conversation_id > $2
             order by conversation_id
             limit ${CONVERSATIONS_PER_PIECE}) as told
      join conversation_participants o on o.conversation_id = told.conversation_id and o.left_seq is null
     order by o.conversation_id, o.user_id`
}

/**
 * The users who have this user's name in their copy of a conversation, as far as changes of
 * names are told there: those of the next conversations after this one, by conversation. This user is one
 * of them.
 */
export async function nameAudience (
  db: Executor, userId: string, afterConversation: string
): Promise<Array<{ conversation_id: string, user_id: string }>> {
  return await db.rows(AUDIENCE, [userId, afterConversation])
}

// Indexes: as above.
const COUNT_AUDIENCE: Statement = {
  name: 'profiles_count_audience',
  text: `
    select coalesce(sum(told.participant_count), 0)::int as count
      from (select c.participant_count
              from conversation_participants p
              join conversations c on c.id = p.conversation_id
             where p.user_id = $1 and p.left_at is null and ${smallConversation('p.conversation_id')}
             order by c.last_activity_at desc
             limit ${MAX_CONVERSATIONS_TOLD}) as told`
}

/** How many events a change of the user's name makes. */
export async function countNameAudience (db: Executor, userId: string): Promise<number> {
  const [row] = await db.rows<{ count: number }>(COUNT_AUDIENCE, [userId])
  return row!.count
}

// Indexes: users_pkey, conversations_direct_key_unique, conversation_participants_user_index,
// conversation_participants_pkey. A direct key has the ids in one of two orders.
const PROFILE: Statement = {
  name: 'profiles_profile',
  text: `
    select u.id, u.name,
           case when $1 = $2 or exists (
                  select 1
                    from conversations c
                   where c.direct_key in ($1 || '/' || $2, $2 || '/' || $1))
                then u.avatar end as avatar
      from users u
     where u.id = $2
       and ($1 = $2 or exists (
             select 1
               from conversation_participants mine
               join conversation_participants theirs
                 on theirs.conversation_id = mine.conversation_id and theirs.user_id = $2
              where mine.user_id = $1 and mine.left_at is null and theirs.left_at is null))`
}

export interface Profile { id: string, name: string | null, avatar: string | null }

/** What the viewer may know: undefined without a shared conversation, the avatar only with a direct one. */
export async function findProfile (
  db: Executor, viewerId: string, userId: string
): Promise<Profile | undefined> {
  const [row] = await db.rows<Profile>(PROFILE, [viewerId, userId])
  return row
}
