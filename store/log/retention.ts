/**
 * Removing what is old, a bounded piece at a time, so that sends never wait for it.
 *
 * No index knows what is old: one on a time costs every send, and a BRIN on pages that are used again
 * finds old rows everywhere. Rows of one owner lie in the order of their time. So a job walks over the
 * owners, page by page of their primary key, and looks at the first rows of each. Where it has got to is kept
 * in expiry_progress; the row's lock keeps other processes from the same job.
 */
import { sql } from 'drizzle-orm'
import { meta } from '../../migrations/schema.ts'
import { type Executor, type Statement } from '../database.ts'

export type ExpiryJob = 'events' | 'marks' | 'devices'

/** The owner where the next piece begins; empty: the first. */
export type Position = string[]

export interface Piece {
  removed: number
  /** Where the next owner is; undefined at the end of the walk. */
  next: Position | undefined
}

export interface PieceSize {
  /** Owners looked at; two at least. */
  owners: number
  /** About so many rows go. */
  rows: number
}

const BEGIN: Statement = {
  name: 'expiry_begin', text: 'insert into expiry_progress (job) values ($1) on conflict do nothing'
}
const CLAIM: Statement = {
  name: 'expiry_claim',
  text: `
    select at
      from expiry_progress
     where job = $1 and (at <> '{}' or ended_at is null or ended_at < $2)
       for update skip locked`
}

/** Undefined when another process is at it, or a walk has come to its end since `notSince`. */
export async function claimJob (
  tx: Executor, job: ExpiryJob, notSince: Date
): Promise<Position | undefined> {
  await tx.rows(BEGIN, [job])
  const [row] = await tx.rows<{ at: Position }>(CLAIM, [job, notSince])
  return row?.at
}

const SAVE: Statement = { name: 'expiry_save', text: 'update expiry_progress set at = $2 where job = $1' }
const END: Statement =
  { name: 'expiry_end', text: 'update expiry_progress set at = \'{}\', ended_at = $2 where job = $1' }

/** Without a position the walk has come to its end. */
export async function savePosition (
  tx: Executor, job: ExpiryJob, position: Position | undefined, at: Date
): Promise<void> {
  if (position === undefined) await tx.rows(END, [job, at])
  else await tx.rows(SAVE, [job, position])
}

/**
 * How far ahead of a log's first event to look for the last old one. `seq` has no holes, so each is one
 * probe, and of what is old at least half goes at once.
 */
const AHEAD = Array.from({ length: 13 }, (_, k) => 2 ** k - 1)

// A log is cut from its beginning only, whatever the clocks of the writers said: everything up to an old
// event goes. Indexes: users_pkey, inbox_events_pkey once per user, and 13 times if the first event is old.
const EVENTS: Statement = {
  name: 'expiry_events',
  text: `
    with piece as materialized (
      select id from users where id >= $2 order by id limit $3
    ), old as materialized (
      select u.id, first.seq, cut.seq as cut
        from piece u
       cross join lateral (
          select e.seq, e.created_at
            from inbox_events e
           where e.user_id = u.id
           order by e.seq
           limit 1) as first
       cross join lateral (
          select max(probe.seq) as seq
            from unnest(array[${AHEAD.join(', ')}]) as a (ahead)
           cross join lateral (
              select e.seq, e.created_at
                from inbox_events e
               where e.user_id = u.id and e.seq = first.seq + a.ahead and first.created_at < $1
               limit 1) as probe
           where probe.created_at < $1) as cut
       where first.created_at < $1
    ), bounded as materialized (
      select id, cut, sum(cut - seq + 1) over (order by id) - (cut - seq + 1) as before_it from old
    ), gone as (
      delete from inbox_events e
       using (select id, cut from bounded where before_it < $4) as b
       where e.user_id = b.id and e.seq <= b.cut
      returning 1
    )
    select (select count(*) from gone) as removed,
           case when (select count(*) from piece) = $3 then array[(select max(id) from piece)] end as next`
}

/** Cuts the logs of some users. Where something was removed there may be more. */
export async function expireEvents (
  tx: Executor, before: Date, [userId = '']: Position, { owners, rows }: PieceSize
): Promise<Piece> {
  const piece = await walk(tx, EVENTS, [before, userId, owners, rows])
  await tx.orm.update(meta)
    .set({ inbox_floor: sql`greatest(${meta.inbox_floor}, ${before.toISOString()}::timestamptz)` })
  return piece
}

// The newest old mark stays: for what lies below it, it says that the time is no longer known.
// Indexes: conversation_participants_pkey, delivery_status_pkey from its beginning, twice per participant.
const MARKS: Statement = {
  name: 'expiry_marks',
  text: `
    with piece as materialized (
      select conversation_id, user_id
        from conversation_participants
       where (conversation_id, user_id) >= ($2::uuid, $3)
       order by conversation_id, user_id
       limit $4
    ), old as materialized (
      select p.conversation_id, p.user_id, s.status, fence.up_to_seq
        from piece p
       cross join (values ('delivered'), ('read')) as s (status)
       cross join lateral (
          select d.at
            from delivery_status d
           where d.conversation_id = p.conversation_id and d.user_id = p.user_id and d.status = s.status
           order by d.up_to_seq
          offset 1
           limit 1) as second
       cross join lateral (
          select max(d.up_to_seq) filter (where d.at < $1) as up_to_seq
            from (
              select d.up_to_seq, d.at
                from delivery_status d
               where d.conversation_id = p.conversation_id and d.user_id = p.user_id and d.status = s.status
                 and second.at < $1
               order by d.up_to_seq
               limit $5) as d) as fence
       where second.at < $1
    ), gone as (
      delete from delivery_status d
       using old
       where d.conversation_id = old.conversation_id and d.user_id = old.user_id and d.status = old.status
         and d.up_to_seq < old.up_to_seq
      returning 1
    )
    select (select count(*) from gone) as removed,
           (select array[conversation_id::text, user_id]
              from piece
             where (select count(*) from piece) = $4
             order by conversation_id desc, user_id desc
             limit 1) as next`
}

const FIRST_CONVERSATION = '00000000-0000-0000-0000-000000000000'

/** Forgets when some participants had old messages. Where something was removed there may be more. */
export async function expireMarks (
  tx: Executor, before: Date, [conversationId = FIRST_CONVERSATION, userId = '']: Position,
  { owners, rows }: PieceSize
): Promise<Piece> {
  const marks = Math.max(2, Math.ceil(rows / owners / 2))
  return await walk(tx, MARKS, [before, conversationId, userId, owners, marks])
}

// A push token outlives the cursor: the phone can still be woken. Index: devices_pkey.
const DEVICES: Statement = {
  name: 'expiry_devices',
  text: `
    with piece as materialized (
      select user_id, device_id, last_seen_at
        from devices
       where (user_id, device_id) >= ($2, $3)
       order by user_id, device_id
       limit $4
    ), old as materialized (
      select d.user_id, d.device_id, d.push_token
        from (select user_id, device_id from piece where last_seen_at < $1) as p
        join devices d on d.user_id = p.user_id and d.device_id = p.device_id
       where d.last_seen_at < $1
         and (d.push_token is null or d.acked_seq is not null or d.subscriptions is not null)
         for update of d skip locked
    ), removed as (
      delete from devices d using old
       where d.user_id = old.user_id and d.device_id = old.device_id and old.push_token is null
    ), emptied as (
      update devices d
         set acked_seq = null, subscriptions = null
        from old
       where d.user_id = old.user_id and d.device_id = old.device_id and old.push_token is not null
    )
    select (select count(*) from old) as removed,
           (select array[user_id, device_id]
              from piece
             where (select count(*) from piece) = $4
             order by user_id desc, device_id desc
             limit 1) as next`
}

/** Removes the cursors and stored sessions of devices that were not seen. */
export async function expireDevices (
  tx: Executor, before: Date, [userId = '', deviceId = '']: Position, { owners }: PieceSize
): Promise<Piece> {
  return await walk(tx, DEVICES, [before, userId, deviceId, owners])
}

async function walk (tx: Executor, statement: Statement, values: unknown[]): Promise<Piece> {
  const [row] = await tx.rows<{ removed: number, next: Position | null }>(statement, values)
  return { removed: row?.removed ?? 0, next: row?.next ?? undefined }
}

const TOUCH: Statement = {
  name: 'expiry_touch',
  text: `
    update devices d
       set last_seen_at = $3
      from unnest($1::text[], $2::text[]) as s (user_id, device_id)
     where d.user_id = s.user_id and d.device_id = s.device_id and d.last_seen_at < $4`
}

/** Notes that devices are there, unless that was noted after `unlessSince`. */
export async function touchDevices (
  db: Executor, devices: Array<{ userId: string, deviceId: string }>, at: Date, unlessSince: Date
): Promise<void> {
  await db.rows(TOUCH, [devices.map(d => d.userId), devices.map(d => d.deviceId), at, unlessSince])
}
