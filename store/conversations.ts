/** Conversations and who takes part in them. */
import { and, eq, inArray, isNull, sql } from 'drizzle-orm'
import { conversation_participants, conversations } from '../migrations/schema.ts'
import { type ConversationView, type ParticipantView } from '../core/views.ts'
import { type Executor, type Statement } from './database.ts'
import { messageColumns, messageView, statusColumn, type MessageWithStatus } from './messages.ts'

/** Counting stops here: beyond it a client shows "999+" anyway, and the cost stays bounded. */
export const MAX_UNREAD_COUNT = 1_000

// Indexes: conversation_participants_user_index, conversations_pkey, and
// messages_conversation_seq_unique from its end for last message and unread.
const view = (selection: string): string => `
    select c.id as view_id, me.user_id as viewer_id, c.type, c.title, c.created_at as conversation_created_at, c.last_seq, c.last_activity_at,
           me.muted_until, p.participants, lm.*,
           (select count(*) from (
              select 1 from messages m
               where m.conversation_id = c.id and m.seq > greatest(me.last_read_seq, me.joined_seq)
                 and (me.left_seq is null or m.seq <= me.left_seq)
                 and m.sender_user_id <> me.user_id and not m.hidden and m.deleted_at is null
               limit ${MAX_UNREAD_COUNT}) as unread) as unread_count
      from ${selection}
      cross join lateral (
        select jsonb_agg(jsonb_build_object(
                 'user_id', o.user_id, 'name', u.name, 'role', o.role, 'can_send_messages', o.can_send_messages,
                 'joined_at', to_char(o.joined_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
                 'last_delivered_seq', o.last_delivered_seq, 'last_read_seq', o.last_read_seq)
                 order by o.joined_at, o.user_id) as participants
          from conversation_participants o
          join users u on u.id = o.user_id
         where o.conversation_id = c.id and o.left_at is null) as p
      left join lateral (
        select ${messageColumns('m')}, ${statusColumn('m', 'me.user_id')} as status
          from messages m
         where m.conversation_id = c.id and m.seq > me.joined_seq and (me.left_seq is null or m.seq <= me.left_seq)
           and (not m.hidden or m.sender_user_id = me.user_id)
         order by m.seq desc
         limit 1) as lm on true`

const LIST: Statement = {
  name: 'conversations_list',
  text: `${view(`(
        select c.*
          from conversation_participants p
          join conversations c on c.id = p.conversation_id
         where p.user_id = $1 and p.left_at is null
           and ($2::timestamptz is null or (c.last_activity_at, c.id) < ($2, $3::uuid))
         order by c.last_activity_at desc, c.id desc
         limit $4) as c
      join conversation_participants me on me.conversation_id = c.id and me.user_id = $1`)}
     order by c.last_activity_at desc, c.id desc`
}

const VIEWS: Statement = {
  name: 'conversations_views',
  text: view(`unnest($1::uuid[], $2::text[]) as v (conversation_id, user_id)
      join conversations c on c.id = v.conversation_id
      join conversation_participants me on me.conversation_id = c.id and me.user_id = v.user_id`)
}

type ViewRow = Partial<MessageWithStatus> & {
  view_id: string
  viewer_id: string
  type: 'direct' | 'group'
  title: string | null
  conversation_created_at: Date
  last_seq: number
  last_activity_at: Date
  muted_until: Date | null
  participants: ParticipantView[] | null
  unread_count: number
}

/** Position of a page in the list: after this conversation. */
export interface ListCursor { lastActivityAt: Date, id: string }

/** Present memberships of a user, last activity first. */
export async function listConversations (db: Executor, userId: string, limit: number, after: ListCursor | undefined): Promise<ConversationView[]> {
  const rows = await db.rows<ViewRow>(LIST, [userId, after?.lastActivityAt ?? null, after?.id ?? null, limit])
  return rows.map(toView)
}

export interface ViewRequest { conversationId: string, userId: string }

/** Conversations as their users see them, in the order asked for; undefined where the user was never in. */
export async function conversationViews (db: Executor, requests: ViewRequest[]): Promise<Array<ConversationView | undefined>> {
  const rows = await db.rows<ViewRow>(VIEWS, [requests.map(request => request.conversationId), requests.map(request => request.userId)])
  const found = new Map(rows.map(row => [`${row.view_id} ${row.viewer_id}`, toView(row)]))
  return requests.map(request => found.get(`${request.conversationId} ${request.userId}`))
}

const toView = (row: ViewRow): ConversationView => ({
  id: row.view_id,
  type: row.type,
  title: row.title,
  created_at: row.conversation_created_at.toISOString(),
  last_seq: row.last_seq,
  last_activity_at: row.last_activity_at.toISOString(),
  muted_until: row.muted_until?.toISOString() ?? null,
  unread_count: row.unread_count,
  last_message: row.id == null ? null : messageView(row as MessageWithStatus, row.status!),
  participants: row.participants ?? []
})

export interface NewConversation { id: string, type: 'direct' | 'group', direct_key: string | null, title: string | null, at: Date }

/** False when the direct conversation of this pair exists already. */
export async function insertConversation (tx: Executor, { id, type, direct_key, title, at }: NewConversation): Promise<boolean> {
  const inserted = await tx.orm.insert(conversations)
    .values({ id, type, direct_key, title, last_activity_at: at, created_at: at })
    .onConflictDoNothing({ target: conversations.direct_key })
    .returning({ id: conversations.id })
  return inserted.length > 0
}

export async function findDirect (tx: Executor, directKey: string): Promise<string | undefined> {
  const [row] = await tx.orm.select({ id: conversations.id }).from(conversations).where(eq(conversations.direct_key, directKey))
  return row?.id
}

export async function touchConversation (tx: Executor, id: string, at: Date): Promise<void> {
  await tx.orm.update(conversations).set({ last_activity_at: at }).where(eq(conversations.id, id))
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
  last_read_seq: conversation_participants.last_read_seq
}

export async function findMembership (db: Executor, conversationId: string, userId: string): Promise<Membership | undefined> {
  const [row] = await db.orm.select(membershipColumns).from(conversation_participants)
    .where(and(eq(conversation_participants.conversation_id, conversationId), eq(conversation_participants.user_id, userId)))
  return row
}

export async function presentMembers (db: Executor, conversationId: string): Promise<Membership[]> {
  return await db.orm.select(membershipColumns).from(conversation_participants)
    .where(and(eq(conversation_participants.conversation_id, conversationId), isNull(conversation_participants.left_at)))
    .orderBy(conversation_participants.user_id)
}

/** Enters users, or lets former members in anew: they see what comes from here on. */
export async function enterParticipants (tx: Executor, conversationId: string, entering: Array<{ user_id: string, role: 'admin' | 'member' }>, joinedSeq: number, at: Date): Promise<void> {
  await tx.orm.insert(conversation_participants)
    .values(entering.map(({ user_id, role }) => ({
      conversation_id: conversationId,
      user_id,
      role,
      joined_at: at,
      joined_seq: joinedSeq,
      last_delivered_seq: joinedSeq,
      last_read_seq: joinedSeq
    })))
    .onConflictDoUpdate({
      target: [conversation_participants.conversation_id, conversation_participants.user_id],
      set: {
        role: sql`excluded.role`,
        can_send_messages: true,
        joined_at: at,
        joined_seq: joinedSeq,
        left_at: null,
        left_seq: null,
        last_delivered_seq: joinedSeq,
        last_read_seq: joinedSeq,
        muted_until: null
      }
    })
}

export async function leaveConversation (tx: Executor, conversationId: string, userId: string, leftSeq: number, at: Date): Promise<void> {
  await tx.orm.update(conversation_participants).set({ left_at: at, left_seq: leftSeq })
    .where(and(eq(conversation_participants.conversation_id, conversationId), eq(conversation_participants.user_id, userId)))
}

export async function setParticipantRights (tx: Executor, conversationId: string, userId: string, rights: { role?: 'admin' | 'member', can_send_messages?: boolean }): Promise<void> {
  await tx.orm.update(conversation_participants).set(rights)
    .where(and(eq(conversation_participants.conversation_id, conversationId), eq(conversation_participants.user_id, userId)))
}

/** Are both present in the same conversation? */
export async function shareConversation (db: Executor, userId: string, otherId: string): Promise<boolean> {
  const mine = db.orm.select({ id: conversation_participants.conversation_id }).from(conversation_participants)
    .where(and(eq(conversation_participants.user_id, userId), isNull(conversation_participants.left_at)))
  const shared = await db.orm.select({ id: conversation_participants.conversation_id }).from(conversation_participants)
    .where(and(
      eq(conversation_participants.user_id, otherId), isNull(conversation_participants.left_at),
      inArray(conversation_participants.conversation_id, mine)
    ))
    .limit(1)
  return shared.length > 0
}
