/**
 * Conversations as one of their participants sees them: one query for a page of
 * them, whose cost does not depend on how many messages they hold.
 *
 * A former member sees what was there when they left. Somebody from whom the
 * latest messages are hidden sees the conversation as if it ended before them.
 */
import { type ConversationView, type ParticipantView } from '../../core/views.ts'
import { type Executor, type Statement } from '../database.ts'
import { messageColumns, messageView, statusColumn, type MessageWithStatus } from '../messages/messages.ts'

/** Counting stops here: beyond it a client shows "999+" anyway. */
export const MAX_UNREAD_COUNT = 1_000

/**
 * What is counted lies among this many of the newest messages: own, deleted and hidden ones are looked at
 * too.
 */
export const UNREAD_SCAN = 2_000

// The last message this viewer may see. Messages are dense and tombstones stay,
// so the last one is one probe of messages_conversation_seq_unique.
const END = 'coalesce(me.left_seq, me.shown_seq, c.last_seq)'

// Indexes: conversations_pkey, conversation_participants_pkey, users_pkey and
// messages_conversation_seq_unique from END downwards.
const view = (selection: string): string => `
    select c.id as view_id, me.user_id as viewer_id, c.type, c.created_at as conversation_created_at,
           me.muted_until,
           case when me.left_at is null then c.title else me.left_title end as title,
           ${END} as last_seq,
           coalesce(me.left_at, me.shown_at, c.last_activity_at) as last_activity_at,
           p.participants, lm.*,
           (select count(*) from (
              select 1
                from (select m.sender_user_id, m.hidden, coalesce(m.withdrawn_at, m.deleted_at) as deleted_at
                        from messages m
                       where m.conversation_id = c.id and m.seq > greatest(me.last_read_seq, me.joined_seq)
                         and m.seq <= ${END}
                       order by m.seq desc
                       limit ${UNREAD_SCAN}) as newest
               where newest.sender_user_id <> me.user_id and not newest.hidden and newest.deleted_at is null
               limit ${MAX_UNREAD_COUNT}) as unread) as unread_count
      from ${selection}
      cross join lateral (
        select jsonb_agg(jsonb_build_object(
                 'user_id', o.user_id, 'name', u.name, 'role', o.role,
                 'can_send_messages', o.can_send_messages,
                 'joined_at', to_char(o.joined_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
                 'last_delivered_seq', least(o.last_delivered_seq, ${END}),
                 'last_read_seq', least(o.last_read_seq, ${END}))
                 order by o.joined_at, o.user_id) as participants
          from conversation_participants o
          join users u on u.id = o.user_id
         where o.conversation_id = c.id
           and o.joined_at <= coalesce(me.left_at, 'infinity')
           and coalesce(o.left_at, 'infinity') >= coalesce(me.left_at, 'infinity')) as p
      left join lateral (
        select ${messageColumns('m', 'me.user_id')}, ${statusColumn('m', 'me.user_id')} as status
          from messages m
         where m.conversation_id = c.id and m.seq = ${END} and m.seq > me.joined_seq
           and (not m.hidden or m.sender_user_id = me.user_id)) as lm on true`

// Indexes: conversation_participants_user_index, then conversations_pkey once per own conversation (the limit
// keeps the planner from reading all conversations). The order and the cursor are those of the time that is
// shown.
const LIST: Statement = {
  name: 'conversations_list',
  text: `${view(`(
        select p.conversation_id, p.user_id, coalesce(p.shown_at, c.last_activity_at) as activity
          from conversation_participants p
          cross join lateral (
            select c.id, c.last_activity_at from conversations c where c.id = p.conversation_id limit 1) as c
         where p.user_id = $1 and p.left_at is null
           and ($2::timestamptz is null or (coalesce(p.shown_at, c.last_activity_at), c.id) < ($2, $3::uuid))
         order by activity desc, c.id desc
         limit $4) as v
      join conversations c on c.id = v.conversation_id
      join conversation_participants me
        on me.conversation_id = v.conversation_id and me.user_id = v.user_id`)}
     order by v.activity desc, c.id desc`
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
export async function listConversations (
  db: Executor, userId: string, limit: number, after: ListCursor | undefined
): Promise<ConversationView[]> {
  const rows = await db.rows<ViewRow>(LIST, [userId, after?.lastActivityAt ?? null, after?.id ?? null, limit])
  return rows.map(toView)
}

export interface ViewRequest { conversationId: string, userId: string }

/** Conversations as their users see them, in the order asked for; undefined where the user was never in. */
export async function conversationViews (
  db: Executor, requests: ViewRequest[]
): Promise<Array<ConversationView | undefined>> {
  const rows = await db.rows<ViewRow>(
    VIEWS, [requests.map(request => request.conversationId), requests.map(request => request.userId)]
  )
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
