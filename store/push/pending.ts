/**
 * What the devices of claimed users are to be told: read after the claim, so that
 * an acknowledgement in between cancels.
 */
import { type Executor, type Statement } from '../database.ts'

/** Of a device's untold events so many of the newest are looked at. */
const MAX_EVENTS = 1_000

// Events that no device acknowledged and this one was not yet told of. A mute holds
// back everything but mentions of the user. A claim that was lost meanwhile finds
// nothing. Of many conversations the latest 50 are told: Android shows no more
// notifications of one app. Only the newest events of a log are looked at: one user's long absence holds up
// no other of the batch. Index: inbox_events_pkey from its end.
const PENDING: Statement = {
  name: 'push_due_pending',
  text: `
    select d.user_id, d.device_id, d.platform, d.push_token, d.pushed_at, d.push_paced_until,
           pending.conversation_id, pending.first_seq, pending.last_seq, pending.count,
           m.id as message_id, m.sender_user_id, left(m.content, 200) as content, m.message_type,
           m.created_at, s.name as sender_name, c.type as conversation_type, c.title
      from push_due due
      join users u on u.id = due.user_id
      join devices d on d.user_id = due.user_id and d.push_token is not null
      left join lateral (
        select e.conversation_id, min(e.seq) as first_seq, max(e.seq) as last_seq, count(*) as count,
               (array_agg(e.message_id order by e.seq desc))[1] as message_id
          from (select user_id, seq, type, conversation_id, message_id, created_at
                  from inbox_events
                 where user_id = d.user_id and seq > greatest(d.pushed_seq, u.acked_seq)
                 order by seq desc
                 limit ${MAX_EVENTS}) as e
          join messages em on em.id = e.message_id and em.deleted_at is null and em.withdrawn_at is null
          join conversation_participants p on p.conversation_id = e.conversation_id and p.user_id = e.user_id
         where e.type = 'new_message' and p.left_at is null and em.seq > p.last_read_seq
           and (p.muted_until is null or p.muted_until <= $2
                or em.mentions @> jsonb_build_array(jsonb_build_object('user_id', e.user_id)))
           and not exists (
             select 1
               from blocks b
              where b.blocker_user_id = e.user_id and b.blocked_user_id = em.sender_user_id)
           and e.created_at > $3
         group by e.conversation_id
         order by last_seq desc
         limit 50) as pending on true
      left join messages m on m.id = pending.message_id
      left join users s on s.id = m.sender_user_id
      left join conversations c on c.id = pending.conversation_id
     where due.user_id = any($1::text[]) and due.leased_until = $4
     order by d.user_id, d.device_id, pending.last_seq`
}

/** A conversation with something to tell. */
export interface PendingPush {
  conversation_id: string
  /** Inbox seqs of the oldest and the newest event the push speaks of. */
  first_seq: number
  last_seq: number
  count: number
  /** The newest message; of its content only the beginning. */
  message_id: string
  sender_user_id: string
  content: string
  message_type: 'text' | 'image' | 'video' | 'audio'
  created_at: Date
  sender_name: string | null
  conversation_type: 'direct' | 'group'
  title: string | null
}

export interface PushDevice {
  user_id: string
  device_id: string
  platform: 'android' | 'ios' | 'web'
  push_token: string
  pushed_at: Date | null
  push_paced_until: Date | null
  /** Oldest first; empty when there is nothing (any more) to tell. */
  pending: PendingPush[]
}

type PendingRow = Omit<PushDevice, 'pending'> & (PendingPush | { conversation_id: null })

/**
 * The devices with a push token of the claimed users, with what to tell each;
 * nothing created before `expiresBefore`.
 */
export async function pendingPushes (db: Executor, { userIds, leasedUntil, now, expiresBefore }: {
  userIds: string[], leasedUntil: Date, now: Date, expiresBefore: Date
}): Promise<PushDevice[]> {
  const devices: PushDevice[] = []
  for (const {
    user_id, device_id, platform, push_token, pushed_at, push_paced_until, ...pending
  } of await db.rows<PendingRow>(PENDING, [userIds, now, expiresBefore, leasedUntil])) {
    let device = devices.at(-1)
    if (device?.user_id !== user_id || device.device_id !== device_id) {
      device = { user_id, device_id, platform, push_token, pushed_at, push_paced_until, pending: [] }
      devices.push(device)
    }
    if (pending.conversation_id !== null) device.pending.push(pending)
  }
  return devices
}

/** Beyond it phones show no exact number anyway, and the cost stays bounded. */
const MAX_BADGE = 99
/** Of each conversation the newest are counted; own, hidden and deleted ones among them are looked at too. */
const COUNTED_MESSAGES = 200

// Conversations without news are passed over by their counters.
// Indexes: conversation_participants_user_index, conversations_pkey,
// messages_conversation_seq_unique from its end.
const BADGES: Statement = {
  name: 'push_due_badges',
  text: `
    select v.user_id,
           (select count(*) from (
              select 1
                from conversation_participants p
                join conversations c on c.id = p.conversation_id and c.last_seq > p.last_read_seq
               cross join lateral (
                  select m.sender_user_id, m.hidden, coalesce(m.withdrawn_at, m.deleted_at) as deleted_at
                    from messages m
                   where m.conversation_id = p.conversation_id
                     and m.seq > greatest(p.last_read_seq, p.joined_seq)
                   order by m.seq desc
                   limit ${COUNTED_MESSAGES}) as m
               where p.user_id = v.user_id and p.left_at is null
                 and (p.muted_until is null or p.muted_until <= $2)
                 and m.sender_user_id <> p.user_id and not m.hidden and m.deleted_at is null
               limit ${MAX_BADGE}) as unread) as badge
      from unnest($1::text[]) as v (user_id)`
}

/** How many messages each of the users has not read, up to 99; muted conversations do not count. */
export async function unreadBadges (
  db: Executor, userIds: string[], now: Date
): Promise<Map<string, number>> {
  const rows = userIds.length === 0
    ? []
    : await db.rows<{ user_id: string, badge: number }>(BADGES, [userIds, now])
  return new Map(rows.map(row => [row.user_id, row.badge]))
}
