/** Conversations and who takes part in them; how they look is in views.ts. */
import { and, eq, isNull, sql, type SQL } from 'drizzle-orm'
import { conversation_participants, conversations } from '../../migrations/schema.ts'
import { hiddenFrom } from '../people/blocks.ts'
import { type Executor, type Statement } from '../database.ts'
import { removeDraft } from './drafts.ts'

export interface NewConversation {
  id: string
  type: 'direct' | 'group'
  direct_key: string | null
  title: string | null
  at: Date
}

/** By which the one direct conversation of a pair is found. */
export const directKeyOf = (one: string, other: string): string => [one, other].sort().join('/')

/** False when the direct conversation of this pair exists already. */
export async function insertConversation (
  tx: Executor, { id, type, direct_key, title, at }: NewConversation
): Promise<boolean> {
  const inserted = await tx.orm.insert(conversations)
    .values({ id, type, direct_key, title, last_activity_at: at, created_at: at })
    .onConflictDoNothing({ target: conversations.direct_key })
    .returning({ id: conversations.id })
  return inserted.length > 0
}

export async function findDirect (tx: Executor, directKey: string): Promise<string | undefined> {
  const [row] = await tx.orm.select({ id: conversations.id }).from(conversations)
    .where(eq(conversations.direct_key, directKey))
  return row?.id
}

export async function setTitle (tx: Executor, id: string, title: string | null): Promise<void> {
  await tx.orm.update(conversations).set({ title }).where(eq(conversations.id, id))
}

/**
 * A participant came or went, at the time that the events tell: last_activity_at moves in no other
 * case, and never back, whatever another node's clock said.
 */
export async function touchConversation (tx: Executor, id: string, at: Date): Promise<void> {
  await tx.orm.update(conversations).set({
    last_activity_at: sql`greatest(${conversations.last_activity_at}, ${at})`
  }).where(eq(conversations.id, id))
}

export interface Membership {
  conversation_id: string
  user_id: string
  role: 'admin' | 'member'
  can_send_messages: boolean
  joined_at: Date
  joined_seq: number
  left_at: Date | null
  left_seq: number | null
  last_read_seq: number
  muted_until: Date | null
}

const membershipColumns = {
  conversation_id: conversation_participants.conversation_id,
  user_id: conversation_participants.user_id,
  role: conversation_participants.role,
  can_send_messages: conversation_participants.can_send_messages,
  joined_at: conversation_participants.joined_at,
  joined_seq: conversation_participants.joined_seq,
  left_at: conversation_participants.left_at,
  left_seq: conversation_participants.left_seq,
  last_read_seq: conversation_participants.last_read_seq,
  muted_until: conversation_participants.muted_until
}

export async function findMembership (
  db: Executor, conversationId: string, userId: string
): Promise<Membership | undefined> {
  const [row] = await db.orm.select(membershipColumns).from(conversation_participants)
    .where(participant(conversationId, userId))
  return row
}

/** By user id. */
export async function presentMembers (db: Executor, conversationId: string): Promise<Membership[]> {
  return await db.orm.select(membershipColumns).from(conversation_participants)
    .where(and(
      eq(conversation_participants.conversation_id, conversationId),
      isNull(conversation_participants.left_seq)
    ))
    .orderBy(conversation_participants.user_id)
}

// Indexes: conversation_participants_pkey, blocks_pkey.
const TYPING_AUDIENCE: Statement = {
  name: 'conversations_typing_audience',
  text: `
    select p.user_id
      from conversation_participants p
     where p.conversation_id = $1 and p.left_seq is null and p.user_id <> $2
       and not ${hiddenFrom('p.user_id', '$2')}`
}

/** The other present members, without those who block the user and those the user blocks. */
export async function typingAudience (
  db: Executor, conversationId: string, userId: string
): Promise<string[]> {
  const rows = await db.rows<{ user_id: string }>(TYPING_AUDIENCE, [conversationId, userId])
  return rows.map(row => row.user_id)
}

// One statement for all who enter: with 1,000 of them a list of values took half a second to build.
// New users are created in id order, like every set of users that is locked. A stay in which nothing
// came needs no row. Index: conversation_participants_pkey, once for each who enters.
const ENTER: Statement = {
  name: 'conversations_enter',
  text: `
    with known as (
      insert into users (id)
      select e.user_id from unnest($2::text[]) as e (user_id) order by e.user_id collate "C"
      on conflict do nothing
    ), counted as (
      update conversations
         set participant_count = participant_count + cardinality($2::text[]),
             members_version = members_version + 1
       where id = $1
    ), kept as (
      insert into participant_stays
             (conversation_id, user_id, role, can_send_messages, joined_at, joined_seq, left_at, left_seq,
              last_delivered_seq, last_read_seq)
      select p.*
        from unnest($2::text[]) as e (user_id)
       cross join lateral (
          select conversation_id, user_id, role, can_send_messages, joined_at, joined_seq, left_at, left_seq,
                 last_delivered_seq, last_read_seq
            from conversation_participants p
           where p.conversation_id = $1 and p.user_id = e.user_id and p.left_seq > p.joined_seq
           limit 1) as p
    )
    insert into conversation_participants
           (conversation_id, user_id, role, joined_at, joined_seq, last_delivered_seq, last_read_seq)
    select $1::uuid, e.user_id, e.role, $5::timestamptz, $4::bigint, $4::bigint, $4::bigint
      from unnest($2::text[], $3::text[]) as e (user_id, role)
     order by e.user_id collate "C"
    on conflict (conversation_id, user_id) do update
       set role = excluded.role, can_send_messages = true, joined_at = excluded.joined_at,
           joined_seq = excluded.joined_seq, left_at = null, left_seq = null, left_title = null,
           shown_seq = null, shown_at = null, last_delivered_seq = excluded.last_delivered_seq,
           last_read_seq = excluded.last_read_seq, last_read_at = null, muted_until = null`
}

export interface Entering { user_id: string, role: 'admin' | 'member' }

/**
 * Enters users, who are created when they are new, or lets former members in anew: they see what
 * comes from here on, and their stay before is kept for what came then. None of them may be in, and the
 * conversation must be locked or new.
 */
export async function enterParticipants (
  tx: Executor, conversationId: string, entering: Entering[], joinedSeq: number, at: Date
): Promise<void> {
  await tx.rows(ENTER, [
    conversationId, entering.map(e => e.user_id), entering.map(e => e.role), joinedSeq, at
  ])
}

const LEAVE: Statement = {
  name: 'conversations_leave',
  text: `
    with counted as (
      update conversations
         set participant_count = participant_count - 1, members_version = members_version + 1
       where id = $1
      returning title
    )
    update conversation_participants
       set left_at = $4, left_seq = $3, left_title = counted.title
      from counted
     where conversation_id = $1 and user_id = $2`
}

/** The user must be in, and the conversation locked. Their draft goes. */
export async function leaveConversation (
  tx: Executor, conversationId: string, userId: string, leftSeq: number, at: Date
): Promise<void> {
  await tx.rows(LEAVE, [conversationId, userId, leftSeq, at])
  // A statement of its own: the one above may have waited for a draft, and would not see it.
  await removeDraft(tx, conversationId, userId)
}

/** The conversation must be locked. */
export async function setParticipantRights (
  tx: Executor, conversationId: string, userId: string,
  rights: { role?: 'admin' | 'member', can_send_messages?: boolean }
): Promise<void> {
  await tx.orm.update(conversation_participants).set(rights).where(participant(conversationId, userId))
  await raiseMembersVersion(tx, eq(conversations.id, conversationId))
}

/** A block between the two of a direct conversation begins or ends. Locks the conversation. */
export async function noteBlock (tx: Executor, directKey: string): Promise<void> {
  await raiseMembersVersion(tx, eq(conversations.direct_key, directKey))
}

async function raiseMembersVersion (tx: Executor, which: SQL): Promise<void> {
  await tx.orm.update(conversations)
    .set({ members_version: sql`${conversations.members_version} + 1` })
    .where(which)
}

export async function setMutedUntil (
  tx: Executor, conversationId: string, userId: string, mutedUntil: Date | null
): Promise<void> {
  await tx.orm.update(conversation_participants).set({ muted_until: mutedUntil })
    .where(participant(conversationId, userId))
}

const participant = (conversationId: string, userId: string) =>
  and(
    eq(conversation_participants.conversation_id, conversationId),
    eq(conversation_participants.user_id, userId)
  )
