/**
 * Conversations as one of their participants sees them. One query finds a page of them and one reads some,
 * and what it costs does not depend on how many messages they hold.
 *
 * A former member sees what was there when they left. When the latest messages are hidden
 * from a viewer, the conversation ends before them for that viewer.
 */
import { MAX_PARTICIPANTS_SHOWN, type ConversationView, type ParticipantView } from '../../core/views.ts'
import { type Executor, type Statement } from '../database.ts'
import { staysMeeting } from '../stays.ts'
import { messageColumns, messageView, statusColumn, type MessageWithStatus } from '../messages/messages.ts'
import { rawColumns } from '../messages/visible.ts'

/** Counting stops here: beyond it a client shows "999+" anyway. */
export const MAX_UNREAD_COUNT = 1_000

/**
 * What is counted lies among this many of the newest messages: own, deleted and hidden
 * ones are looked at too.
 */
export const UNREAD_SCAN = 2_000

// Where the conversation ends for the viewer. Messages are dense and tombstones stay, so the last
// one up to here is the last one the viewer may see, if any.
export const END = 'coalesce(me.left_seq, me.shown_seq, c.last_seq)'

const ISO_8601 = '\'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"\''

/** A participant as a viewer sees them; for the viewer the conversation ends at `end`, an SQL expression. */
export const participantJson = (participant: string, user: string, end: string): string => `
               jsonb_build_object(
                 'user_id', ${participant}.user_id, 'name', ${user}.name, 'role', ${participant}.role,
                 'can_send_messages', ${participant}.can_send_messages,
                 'joined_at', to_char(${participant}.joined_at at time zone 'utc', ${ISO_8601}),
                 'last_delivered_seq', least(${participant}.last_delivered_seq, ${end}),
                 'last_read_seq', least(${participant}.last_read_seq, ${end}))`

// Those who were in when the viewer left, the viewer among them. For a viewer who is in: those who are.
const wasIn = (alias: string): string =>
  `${alias}.conversation_id = c.id
             and ${alias}.joined_at <= coalesce(me.left_at, 'infinity')
             and coalesce(${alias}.left_at, 'infinity') >= coalesce(me.left_at, 'infinity')`

// And those of them who have left and come back since: the viewer's last message came in a stay of
// theirs, or the first one after it. A viewer who is in reads no row of theirs.
const wasInBefore = (alias: string): string =>
  `me.left_at is not null and ${alias}.joined_at <= me.left_at and ${alias}.left_at >= me.left_at
             and ${staysMeeting(alias, 'c.id', "int8range(me.left_seq, me.left_seq + 1, '[]')")}`

// Of a large conversation only the viewer's own row is read; how many are in is counted by the
// conversation itself, and only for a former member from the rows.
//
// Each row is one probe, by construction: as a join the planner may take an index for the
// conversation alone and pass over all its participants, or all its messages, for every viewer.
// Indexes: conversations_pkey, conversation_participants_pkey, users_pkey,
// messages_conversation_seq_unique from END downwards, and for a former member
// participant_stays_interval_index.
const view = (asked: string): string => `
    select c.id as view_id, me.user_id as viewer_id, c.type, c.created_at as conversation_created_at,
           me.muted_until,
           case when me.left_at is null then c.title else me.left_title end as title,
           ${END} as last_seq,
           coalesce(me.left_at, me.shown_at, c.last_activity_at) as last_activity_at,
           crowd.count as participant_count, p.participants, lm.*,
           (select count(*)
              from (
                select 1
                  from (
                    select m.sender_user_id, m.hidden, coalesce(m.withdrawn_at, m.deleted_at) as deleted_at
                      from messages m
                     where m.conversation_id = c.id
                       and m.seq > greatest(me.last_read_seq, me.joined_seq) and m.seq <= ${END}
                     order by m.seq desc
                     limit ${UNREAD_SCAN}) as newest
                 where newest.sender_user_id <> me.user_id and not newest.hidden and newest.deleted_at is null
                 limit ${MAX_UNREAD_COUNT}) as unread) as unread_count
      from ${asked} as v
      cross join lateral (
        select c.id, c.type, c.title, c.created_at, c.last_seq, c.last_activity_at, c.participant_count
          from conversations c
         where c.id = v.conversation_id
         limit 1) as c
      cross join lateral (
        select me.user_id, me.role, me.can_send_messages, me.joined_at, me.joined_seq,
               me.left_at, me.left_seq, me.left_title, me.shown_seq, me.shown_at,
               me.last_delivered_seq, me.last_read_seq, me.muted_until
          from conversation_participants me
         where me.conversation_id = v.conversation_id and me.user_id = v.user_id
         limit 1) as me
      cross join lateral (
        select case when me.left_at is null then c.participant_count else (
                 select count(*) from conversation_participants f where ${wasIn('f')}) + (
                 select count(*) from participant_stays f where ${wasInBefore('f')})
               end as count
         limit 1) as crowd
      cross join lateral (
        select jsonb_agg(${participantJson('o', 'u', END)}
               order by o.joined_at, o.user_id) as participants
          from (
            select o.user_id, o.role, o.can_send_messages, o.joined_at, o.last_delivered_seq, o.last_read_seq
              from conversation_participants o
             where crowd.count <= ${MAX_PARTICIPANTS_SHOWN} and ${wasIn('o')}
            union all
            select o.user_id, o.role, o.can_send_messages, o.joined_at, o.last_delivered_seq, o.last_read_seq
              from participant_stays o
             where crowd.count <= ${MAX_PARTICIPANTS_SHOWN} and ${wasInBefore('o')}
            union all
            select me.user_id, me.role, me.can_send_messages, me.joined_at, me.last_delivered_seq,
                   me.last_read_seq
             where crowd.count > ${MAX_PARTICIPANTS_SHOWN}) as o
          cross join lateral (select u.name from users u where u.id = o.user_id limit 1) as u) as p
      left join lateral (
        select ${messageColumns('m', 'me.user_id')}, ${statusColumn('m', 'me.user_id')} as status
          from (
            select ${rawColumns('m')}
              from messages m
             where m.conversation_id = c.id and m.seq > me.joined_seq and m.seq <= ${END}
             order by m.seq desc
             limit 1) as m
         where not m.hidden or m.sender_user_id = me.user_id) as lm on true`

// Indexes: conversation_participants_user_index, then conversations_pkey once per own conversation
// (the limit keeps the planner from reading all conversations). The order and the cursor are those
// of the time that is shown.
const PLACES: Statement = {
  name: 'conversations_places',
  text: `
    select c.id, coalesce(p.shown_at, c.last_activity_at) as "lastActivityAt"
      from conversation_participants p
      cross join lateral (
        select c.id, c.last_activity_at from conversations c where c.id = p.conversation_id limit 1) as c
     where p.user_id = $1 and p.left_at is null
       and ($2::timestamptz is null
            or (coalesce(p.shown_at, c.last_activity_at), c.id) < ($2, $3::uuid))
     order by "lastActivityAt" desc, c.id desc
     limit $4`
}

const VIEWS: Statement = {
  name: 'conversations_views',
  text: view('(select * from unnest($1::uuid[], $2::text[]) as asked (conversation_id, user_id))')
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
  participant_count: number
  participants: ParticipantView[] | null
  unread_count: number
}

/** The place of a conversation in a user's list, and so where the next page begins. */
export interface ListPlace { lastActivityAt: Date, id: string }

/** Present memberships of a user, last activity first, behind `after`. */
export async function listPlaces (
  db: Executor, userId: string, limit: number, after: ListPlace | undefined
): Promise<ListPlace[]> {
  return await db.rows(PLACES, [userId, after?.lastActivityAt ?? null, after?.id ?? null, limit])
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
  participant_count: row.participant_count,
  participants: row.participants ?? []
})
