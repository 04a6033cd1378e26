/** The participants of a conversation in pages; who comes and goes is in conversations.ts. */
import { type ParticipantView } from '../../core/views.ts'
import { type Executor, type Statement } from '../database.ts'
import { END, participantJson } from './views.ts'

// Index: conversation_participants_pkey, from the cursor on. With `left_at is null` the planner may
// take the partial index that begins with the user.
const PAGE: Statement = {
  name: 'participants_page',
  text: `
    select ${participantJson('o', 'u', END)} as participant
      from conversation_participants me
      join conversations c on c.id = me.conversation_id
      cross join lateral (
        select p.user_id, p.role, p.can_send_messages, p.joined_at, p.last_delivered_seq, p.last_read_seq
          from conversation_participants p
         where p.conversation_id = c.id and p.user_id > $3 and coalesce(p.left_at, 'infinity') = 'infinity'
         order by p.user_id
         limit $4) as o
      cross join lateral (select u.name from users u where u.id = o.user_id limit 1) as u
     where me.conversation_id = $1 and me.user_id = $2
     order by o.user_id`
}

/** Present participants as one of them sees them, by user id, after `after`. */
export async function pageParticipants (
  db: Executor, conversationId: string, viewerId: string, { limit, after }: { limit: number, after: string }
): Promise<ParticipantView[]> {
  const rows = await db.rows<{ participant: ParticipantView }>(PAGE, [conversationId, viewerId, after, limit])
  return rows.map(row => row.participant)
}

// Indexes: conversation_participants_pkey, conversations_pkey.
const COUNT: Statement = {
  name: 'participants_count',
  text: `
    select c.participant_count as count
      from conversation_participants me
      join conversations c on c.id = me.conversation_id
     where me.conversation_id = $1 and me.user_id = $2 and me.left_seq is null`
}

/** How many are in, for one of them; undefined for everybody else. */
export async function countMembers (
  db: Executor, conversationId: string, viewerId: string
): Promise<number | undefined> {
  const [row] = await db.rows<{ count: number }>(COUNT, [conversationId, viewerId])
  return row?.count
}
