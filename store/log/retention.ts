/** Removing what is old, a bounded batch at a time, so that sends never wait for it. */
import { sql } from 'drizzle-orm'
import { meta } from '../../migrations/schema.ts'
import { type Executor, type Statement } from '../database.ts'

// One process at a time; the lock ends with the transaction.
const TRY_LOCK: Statement =
  { name: 'expiry_try_lock', text: 'select pg_try_advisory_xact_lock(hashtext(\'echo.expiry\')) as locked' }

/** False when another process is at it. */
export async function lockExpiry (tx: Executor): Promise<boolean> {
  const [row] = await tx.rows<{ locked: boolean }>(TRY_LOCK, [])
  return row?.locked === true
}

// A log is cut from its beginning only, whatever the clocks of the writers said:
// everything up to the newest old event goes. Index: inbox_events_created_at_index
// finds the old ones, inbox_events_pkey the rest.
const EVENTS: Statement = {
  name: 'expiry_events',
  text: `
    with old as materialized (
      select user_id, max(seq) as seq
        from (select user_id, seq from inbox_events where created_at < $1 limit $2) as batch
       group by user_id
    ), gone as (
      delete from inbox_events e
       using old
       where e.user_id = old.user_id and e.seq <= old.seq
      returning 1
    )
    select count(*) as count from gone`
}

/** Removes about `limit` events created before `before`; returns how many went. */
export async function expireEvents (tx: Executor, before: Date, limit: number): Promise<number> {
  const [row] = await tx.rows<{ count: number }>(EVENTS, [before, limit])
  await tx.orm.update(meta)
    .set({ inbox_floor: sql`greatest(${meta.inbox_floor}, ${before.toISOString()}::timestamptz)` })
  return row?.count ?? 0
}

// A push token outlives the cursor: the phone can still be woken.
const DEVICES: Statement = {
  name: 'expiry_devices',
  text: `
    with old as materialized (
      select user_id, device_id, push_token
        from devices
       where last_seen_at < $1 and (push_token is null or acked_seq is not null or subscriptions is not null)
       limit $2
         for update skip locked
    ), removed as (
      delete from devices d using old
       where d.user_id = old.user_id and d.device_id = old.device_id and old.push_token is null
    ), emptied as (
      update devices d
         set acked_seq = null, subscriptions = null
        from old
       where d.user_id = old.user_id and d.device_id = old.device_id and old.push_token is not null
    )
    select count(*) as count from old`
}

/** Removes the cursors and stored sessions of devices not seen since `before`; returns how many. */
export async function expireDevices (tx: Executor, before: Date, limit: number): Promise<number> {
  const [row] = await tx.rows<{ count: number }>(DEVICES, [before, limit])
  return row?.count ?? 0
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
