/**
 * Who has something to be woken for: one row per user, claimed by bridges with a lease.
 *
 * `seq` is the newest event the row stands for. It moves with every such event,
 * so a bridge that is done can tell whether something came while it was sending.
 * `leased_until` is also the proof of a claim: whoever finds another value there
 * has lost the row (to a cancellation, or to a bridge that came after the lease).
 *
 * Statements on several rows lock them in id order first, so that bridges,
 * senders and acknowledgements queue up instead of deadlocking.
 */
import { type Executor, type Statement } from './database.ts'

/**
 * When a row that exists becomes due: a new event is never later than its own time,
 * except behind a push that is being sent, merged or retried. A failing device
 * holds up what is new for the user's other devices by a minute at most.
 */
export const earlierDue = `
  least(push_due.due_at, excluded.due_at + case when push_due.attempts = 0 then interval '0' else interval '1 minute' end)`

// A user who has caught up in the meantime gets no row.
const SCHEDULE: Statement = {
  name: 'push_due_schedule',
  text: `
    insert into push_due (user_id, seq, due_at)
    select d.user_id, d.seq, d.due_at
      from unnest($1::text[], $2::bigint[], $3::timestamptz[]) as d (user_id, seq, due_at)
      join users u on u.id = d.user_id and u.acked_seq < d.seq
     order by u.id
    on conflict (user_id) do update
       set seq = greatest(push_due.seq, excluded.seq), due_at = ${earlierDue}`
}

export interface DuePush { userId: string, seq: number, dueAt: Date }

/** Makes a push due for each user who has not acknowledged `seq`. */
export async function schedulePushes (db: Executor, due: DuePush[]): Promise<void> {
  await db.rows(SCHEDULE, [due.map(d => d.userId), due.map(d => d.seq), due.map(d => d.dueAt)])
}

const CANCEL: Statement = {
  name: 'push_due_cancel',
  text: `
    with caught_up as materialized (
      select p.user_id
        from push_due p
        join users u on u.id = p.user_id and u.acked_seq >= u.inbox_seq
       where p.user_id = any($1::text[])
       order by p.user_id
         for update of p
    )
    delete from push_due p using caught_up where p.user_id = caught_up.user_id`
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

// The array is filled once; a join with the limited subquery may run it again and claim more.
const CLAIM: Statement = {
  name: 'push_due_claim',
  text: `
    update push_due
       set leased_until = $2, attempts = attempts + 1
     where user_id = any(array(
             select user_id from push_due
              where due_at <= $1 and (leased_until is null or leased_until <= $1)
              order by due_at
              limit $3
                for update skip locked))
    returning user_id, seq, attempts`
}

export interface ClaimedPush { user_id: string, seq: number, attempts: number }

export async function claimPushes (db: Executor, now: Date, leasedUntil: Date, limit: number): Promise<ClaimedPush[]> {
  return await db.rows(CLAIM, [now, leasedUntil, limit])
}

// Index: push_due_due_at_index, whose first entry after $1 is the answer.
const NEXT_DUE: Statement = {
  name: 'push_due_next',
  text: 'select min(due_at) as due_at from push_due where due_at > $1'
}

/** When the next row after `now` becomes due. */
export async function nextPushDue (db: Executor, now: Date): Promise<Date | undefined> {
  const [row] = await db.rows<{ due_at: Date | null }>(NEXT_DUE, [now])
  return row?.due_at ?? undefined
}

// What nobody acknowledged and this device was not yet told of. A mute holds
// back everything but mentions of oneself. A claim that was lost meanwhile finds
// nothing. Of many conversations the latest 50 are told: Android shows no more
// notifications of one app. Index: inbox_events_pkey.
const PENDING: Statement = {
  name: 'push_due_pending',
  text: `
    select d.user_id, d.device_id, d.platform, d.push_token, d.pushed_at,
           pending.conversation_id, pending.first_seq, pending.last_seq, pending.count,
           m.id as message_id, m.sender_user_id, left(m.content, 200) as content, m.message_type, m.created_at,
           s.name as sender_name, c.type as conversation_type, c.title
      from push_due due
      join users u on u.id = due.user_id
      join devices d on d.user_id = due.user_id and d.push_token is not null
      left join lateral (
        select e.conversation_id, min(e.seq) as first_seq, max(e.seq) as last_seq, count(*) as count,
               (array_agg(e.message_id order by e.seq desc))[1] as message_id
          from inbox_events e
          join messages em on em.id = e.message_id and em.deleted_at is null
          join conversation_participants p on p.conversation_id = e.conversation_id and p.user_id = e.user_id
         where e.user_id = d.user_id and e.type = 'new_message'
           and e.seq > greatest(d.pushed_seq, u.acked_seq)
           and p.left_at is null and em.seq > p.last_read_seq
           and (p.muted_until is null or p.muted_until <= $2
                or em.mentions @> jsonb_build_array(jsonb_build_object('user_id', e.user_id)))
           and not exists (
             select 1 from blocks b where b.blocker_user_id = e.user_id and b.blocked_user_id = em.sender_user_id)
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
  /** Oldest first; empty when there is nothing (any more) to tell. */
  pending: PendingPush[]
}

type PendingRow = Omit<PushDevice, 'pending'> & (PendingPush | { conversation_id: null })

/** The devices with a push token of the claimed users, with what to tell each; nothing created before `expiresBefore`. */
export async function pendingPushes (db: Executor, { userIds, leasedUntil, now, expiresBefore }: {
  userIds: string[], leasedUntil: Date, now: Date, expiresBefore: Date
}): Promise<PushDevice[]> {
  const devices: PushDevice[] = []
  for (const { user_id, device_id, platform, push_token, pushed_at, ...pending } of await db.rows<PendingRow>(PENDING, [userIds, now, expiresBefore, leasedUntil])) {
    let device = devices.at(-1)
    if (device?.user_id !== user_id || device.device_id !== device_id) {
      device = { user_id, device_id, platform, push_token, pushed_at, pending: [] }
      devices.push(device)
    }
    if (pending.conversation_id !== null) device.pending.push(pending)
  }
  return devices
}

const RECORD: Statement = {
  name: 'push_due_record',
  text: `
    with told as materialized (
      select d.user_id, d.device_id, r.pushed_seq, r.pushed_at
        from devices d
        join unnest($1::text[], $2::text[], $3::bigint[], $4::timestamptz[]) as r (user_id, device_id, pushed_seq, pushed_at)
          on d.user_id = r.user_id and d.device_id = r.device_id
       order by d.user_id, d.device_id collate "C"
         for no key update of d
    )
    update devices d
       set pushed_seq = greatest(d.pushed_seq, told.pushed_seq), pushed_at = coalesce(told.pushed_at, d.pushed_at)
      from told
     where d.user_id = told.user_id and d.device_id = told.device_id`
}

/** `pushed_at` undefined: there was nothing to tell up to `pushed_seq`. */
export interface PushRecord { user_id: string, device_id: string, pushed_seq: number, pushed_at: Date | undefined }

export async function recordPushed (db: Executor, records: PushRecord[]): Promise<void> {
  if (records.length === 0) return
  await db.rows(RECORD, [
    records.map(r => r.user_id), records.map(r => r.device_id), records.map(r => r.pushed_seq), records.map(r => r.pushed_at ?? null)
  ])
}

const FORGET_TOKENS: Statement = {
  name: 'push_due_forget_tokens',
  text: `
    with gone as materialized (
      select d.user_id, d.device_id
        from devices d
        join unnest($1::text[], $2::text[], $3::text[]) as g (user_id, device_id, push_token)
          on d.user_id = g.user_id and d.device_id = g.device_id and d.push_token = g.push_token
       order by d.user_id, d.device_id collate "C"
         for update of d
    )
    update devices d set push_token = null from gone where d.user_id = gone.user_id and d.device_id = gone.device_id`
}

/** Forgets tokens that lead nowhere; a device that has another one by now keeps it. */
export async function forgetPushTokens (db: Executor, gone: Array<Pick<PushDevice, 'user_id' | 'device_id' | 'push_token'>>): Promise<void> {
  if (gone.length === 0) return
  await db.rows(FORGET_TOKENS, [gone.map(g => g.user_id), gone.map(g => g.device_id), gone.map(g => g.push_token)])
}

const SETTLE: Statement = {
  name: 'push_due_settle',
  text: `
    with done as materialized (
      select p.user_id
        from push_due p
        join unnest($1::text[], $2::bigint[]) as v (user_id, seq) on p.user_id = v.user_id and p.seq = v.seq
       where p.leased_until = $3
       order by p.user_id
         for update of p
    )
    delete from push_due p using done where p.user_id = done.user_id`
}

// A statement of its own: its snapshot sees what the delete above waited for.
const RELEASE: Statement = {
  name: 'push_due_release',
  text: `
    with moved as materialized (
      select p.user_id
        from push_due p
        join unnest($1::text[], $2::bigint[]) as v (user_id, seq) on p.user_id = v.user_id and p.seq <> v.seq
       where p.leased_until = $3
       order by p.user_id
         for update of p
    )
    update push_due p set leased_until = null, attempts = 0 from moved where p.user_id = moved.user_id`
}

/** Removes claimed rows that are done; one that moved while it was claimed becomes due again. */
export async function settlePushes (db: Executor, claims: Array<{ user_id: string, seq: number }>, leasedUntil: Date): Promise<void> {
  if (claims.length === 0) return
  const values = [claims.map(claim => claim.user_id), claims.map(claim => claim.seq), leasedUntil]
  await db.rows(SETTLE, values)
  await db.rows(RELEASE, values)
}

const POSTPONE: Statement = {
  name: 'push_due_postpone',
  text: `
    with later as materialized (
      select p.user_id, v.due_at, v.attempts
        from push_due p
        join unnest($1::text[], $2::timestamptz[], $3::int[]) as v (user_id, due_at, attempts) on p.user_id = v.user_id
       where p.leased_until = $4
       order by p.user_id
         for update of p
    )
    update push_due p
       set due_at = later.due_at, leased_until = null, attempts = later.attempts
      from later
     where p.user_id = later.user_id`
}

/** `attempts` is what the next claim counts on from. */
export interface PostponedPush { user_id: string, due_at: Date, attempts: number }

/** Gives claimed rows back, to be claimed again when they are due. */
export async function postponePushes (db: Executor, postponed: PostponedPush[], leasedUntil: Date): Promise<void> {
  if (postponed.length === 0) return
  await db.rows(POSTPONE, [postponed.map(p => p.user_id), postponed.map(p => p.due_at), postponed.map(p => p.attempts), leasedUntil])
}
