/**
 * Who has something to be woken for: one row per user, claimed by bridges with a lease.
 *
 * `seq` is the newest event the row stands for. It moves with every such event,
 * so a bridge that is done can tell whether something came while it was sending.
 */
import { type Executor, type Statement } from './database.ts'

// A user who has caught up in the meantime gets no row.
const SCHEDULE: Statement = {
  name: 'push_due_schedule',
  text: `
    insert into push_due (user_id, seq, due_at)
    select d.user_id, d.seq, d.due_at
      from unnest($1::text[], $2::bigint[], $3::timestamptz[]) as d (user_id, seq, due_at)
      join users u on u.id = d.user_id and u.acked_seq < d.seq
     order by d.user_id
    on conflict (user_id) do update
       set seq = greatest(push_due.seq, excluded.seq),
           due_at = case when push_due.attempts = 0 then least(push_due.due_at, excluded.due_at) else push_due.due_at end`
}

export interface DuePush { userId: string, seq: number, dueAt: Date }

/** Makes a push due for each user who has not acknowledged `seq`. */
export async function schedulePushes (db: Executor, due: DuePush[]): Promise<void> {
  await db.rows(SCHEDULE, [due.map(d => d.userId), due.map(d => d.seq), due.map(d => d.dueAt)])
}

const CANCEL: Statement = {
  name: 'push_due_cancel',
  text: `
    delete from push_due p
     using users u
     where u.id = p.user_id and p.user_id = any($1::text[]) and u.acked_seq >= u.inbox_seq`
}

/** Cancels what users who have caught up were to be woken for. */
export async function cancelPushes (tx: Executor, userIds: string[]): Promise<void> {
  await tx.rows(CANCEL, [userIds])
}

// After a crash nobody watches the sessions that were open: whoever has a phone
// to wake and something it was never told of is due after the grace period.
const RECOVER: Statement = {
  name: 'push_due_recover',
  text: `
    insert into push_due (user_id, seq, due_at)
    select u.id, u.inbox_seq, $1
      from users u
     where u.acked_seq < u.inbox_seq
       and exists (select 1 from devices d where d.user_id = u.id and d.push_token is not null
                     and greatest(d.pushed_seq, u.acked_seq) < u.inbox_seq)
     order by u.id
    on conflict do nothing`
}

export async function recoverPushes (db: Executor, dueAt: Date): Promise<void> {
  await db.rows(RECOVER, [dueAt])
}

const CLAIM: Statement = {
  name: 'push_due_claim',
  text: `
    update push_due
       set leased_until = $2, attempts = attempts + 1
     where user_id in (
             select user_id from push_due
              where due_at <= $1 and (leased_until is null or leased_until <= $1)
              order by due_at
              limit $3
                for update skip locked)
    returning user_id, seq, attempts, created_at`
}

export interface ClaimedPush { user_id: string, seq: number, attempts: number, created_at: Date }

export async function claimPushes (db: Executor, now: Date, leasedUntil: Date, limit: number): Promise<ClaimedPush[]> {
  return await db.rows(CLAIM, [now, leasedUntil, limit])
}

// What nobody acknowledged and this device was not yet told of. A mute holds
// back everything but mentions of oneself. Index: inbox_events_pkey.
const PENDING: Statement = {
  name: 'push_due_pending',
  text: `
    select d.user_id, d.device_id, d.platform, d.push_token, d.pushed_at, pending.conversation_id, pending.last_seq, pending.count,
           m.id as message_id, m.seq, m.sender_user_id, m.content, m.message_type, m.created_at,
           s.name as sender_name, c.type as conversation_type, c.title
      from devices d
      join users u on u.id = d.user_id
      join lateral (
        select e.conversation_id, max(e.seq) as last_seq, count(*) as count,
               (array_agg(e.message_id order by e.seq desc))[1] as message_id
          from inbox_events e
          join messages em on em.id = e.message_id and em.deleted_at is null
          join conversation_participants p on p.conversation_id = e.conversation_id and p.user_id = e.user_id
         where e.user_id = d.user_id and e.type = 'new_message'
           and e.seq > greatest(d.pushed_seq, u.acked_seq)
           and p.left_at is null and em.seq > p.last_read_seq
           and (p.muted_until is null or p.muted_until <= $2
                or em.mentions @> jsonb_build_array(jsonb_build_object('user_id', e.user_id)))
           and e.created_at > $3
         group by e.conversation_id) as pending on true
      join messages m on m.id = pending.message_id
      left join users s on s.id = m.sender_user_id
      join conversations c on c.id = pending.conversation_id
     where d.user_id = any($1::text[]) and d.push_token is not null
     order by d.user_id, d.device_id, pending.last_seq`
}

export interface PendingPush {
  user_id: string
  device_id: string
  platform: 'android' | 'ios' | 'web'
  push_token: string
  pushed_at: Date | null
  conversation_id: string
  /** Inbox seq of the newest event the push speaks of. */
  last_seq: number
  count: number
  message_id: string
  seq: number
  sender_user_id: string
  content: string
  message_type: 'text' | 'image' | 'video' | 'audio'
  created_at: Date
  sender_name: string | null
  conversation_type: 'direct' | 'group'
  title: string | null
}

/** One row per device and conversation with something to tell; nothing created before `expiresBefore`. */
export async function pendingPushes (db: Executor, userIds: string[], now: Date, expiresBefore: Date): Promise<PendingPush[]> {
  return await db.rows(PENDING, [userIds, now, expiresBefore])
}

const RECORD: Statement = {
  name: 'push_due_record',
  text: `
    update devices d
       set pushed_seq = greatest(d.pushed_seq, r.pushed_seq), pushed_at = $4
      from unnest($1::text[], $2::text[], $3::bigint[]) as r (user_id, device_id, pushed_seq)
     where d.user_id = r.user_id and d.device_id = r.device_id`
}

export async function recordPushed (db: Executor, pushed: Array<{ user_id: string, device_id: string, pushed_seq: number }>, at: Date): Promise<void> {
  if (pushed.length === 0) return
  await db.rows(RECORD, [pushed.map(p => p.user_id), pushed.map(p => p.device_id), pushed.map(p => p.pushed_seq), at])
}

const SETTLE: Statement = {
  name: 'push_due_settle',
  text: `
    delete from push_due p
     using unnest($1::text[], $2::bigint[]) as v (user_id, seq)
     where p.user_id = v.user_id and p.seq = v.seq`
}

// A statement of its own: its snapshot sees what the delete above waited for.
const RELEASE: Statement = {
  name: 'push_due_release',
  text: `
    update push_due p
       set leased_until = null, attempts = 0
      from unnest($1::text[], $2::bigint[]) as v (user_id, seq)
     where p.user_id = v.user_id and p.seq <> v.seq`
}

/** Removes claimed rows that are done; one that moved while it was claimed becomes due again. */
export async function settlePushes (db: Executor, claims: Array<{ user_id: string, seq: number }>): Promise<void> {
  if (claims.length === 0) return
  const values = [claims.map(claim => claim.user_id), claims.map(claim => claim.seq)]
  await db.rows(SETTLE, values)
  await db.rows(RELEASE, values)
}

const POSTPONE: Statement = {
  name: 'push_due_postpone',
  text: `
    update push_due p
       set due_at = v.due_at, leased_until = null, attempts = case when $3 then 0 else p.attempts end
      from unnest($1::text[], $2::timestamptz[]) as v (user_id, due_at)
     where p.user_id = v.user_id`
}

export async function postponePushes (db: Executor, postponed: Array<{ userId: string, dueAt: Date }>, { restart }: { restart: boolean }): Promise<void> {
  if (postponed.length === 0) return
  await db.rows(POSTPONE, [postponed.map(p => p.userId), postponed.map(p => p.dueAt), restart])
}
