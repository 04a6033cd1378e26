/** Devices: their cursor in the inbox log, their MQTT subscriptions and their push token. */
import { and, desc, eq, sql } from 'drizzle-orm'
import { devices, users, type StoredSubscription } from '../../migrations/schema.ts'
import { type Executor, type Statement } from '../database.ts'

// One statement whether or not the device is known. A clean session ends the
// stored one [MQTT-3.1.2-6]; the cursor stays.
const OPEN: Statement = {
  name: 'devices_open',
  text: `
    with next as materialized (
      select nextval('device_leases') as lease
    ), opened as (
      update devices d
         set lease = next.lease, last_seen_at = now(), subscriptions = case when $3 then null else d.subscriptions end
        from next
       where d.user_id = $1 and d.device_id = $2
      returning d.subscriptions
    )
    select next.lease, (select subscriptions from opened) as subscriptions from next`
}

/** A connection of a device begins: it gets a lease above that of every earlier one, and what the stored session subscribed to. */
export async function openDevice (
  db: Executor, userId: string, deviceId: string, clean: boolean
): Promise<{ lease: number, subscriptions: StoredSubscription[] }> {
  const [row] = await db.rows<{ lease: number, subscriptions: StoredSubscription[] | null }>(
    OPEN, [userId, deviceId, clean]
  )
  return { lease: row!.lease, subscriptions: row!.subscriptions ?? [] }
}

// Index: devices_pkey.
const FENCED: Statement = {
  name: 'devices_fenced',
  text: `
    select a.i::int as i
      from unnest($1::text[], $2::text[], $3::bigint[]) with ordinality as a (user_id, device_id, lease, i)
      join devices d on d.user_id = a.user_id and d.device_id = a.device_id and d.lease > a.lease`
}

/** Which of these leases (by position) belong to a connection that a newer one of the same device has replaced. */
export async function findFenced (
  tx: Executor, held: Array<{ userId: string, deviceId: string, lease: number }>
): Promise<Set<number>> {
  const rows = await tx.rows<{ i: number }>(
    FENCED, [held.map(h => h.userId), held.map(h => h.deviceId), held.map(h => h.lease)]
  )
  return new Set(rows.map(row => row.i - 1))
}

/** Stores the session's subscriptions; a device without a cursor gets one, where the user's devices have got to. */
export async function saveSubscriptions (
  db: Executor, userId: string, deviceId: string, lease: number, subscriptions: StoredSubscription[]
): Promise<void> {
  const acked = sql<number>`(select ${users.acked_seq} from ${users} where ${users.id} = ${userId})`
  await db.orm.insert(devices)
    .values({ user_id: userId, device_id: deviceId, lease, subscriptions, acked_seq: acked })
    .onConflictDoUpdate({
      target: [devices.user_id, devices.device_id],
      set: {
        subscriptions,
        lease,
        acked_seq: sql`coalesce(${devices.acked_seq}, excluded.acked_seq)`,
        last_seen_at: sql`now()`
      },
      // A connection that was replaced writes nothing any more.
      setWhere: sql`${devices.lease} is null or ${devices.lease} <= excluded.lease`
    })
}

const START: Statement = {
  name: 'devices_start',
  text: `
    select u.inbox_seq, u.acked_seq, d.acked_seq as cursor
      from users u
      left join devices d on d.user_id = u.id and d.device_id = $2
     where u.id = $1`
}

/** Where delivery to a device starts, and where the log ends. `cursor` is null for a device that never had one. */
export async function startingPoint (
  db: Executor, userId: string, deviceId: string
): Promise<{ inbox_seq: number, acked_seq: number, cursor: number | null } | undefined> {
  const [row] =
    await db.rows<{ inbox_seq: number, acked_seq: number, cursor: number | null }>(START, [userId, deviceId])
  return row
}

// Rows of one flush, sorted by the caller, so that two flushes cannot deadlock.
const ADVANCE: Statement = {
  name: 'devices_advance',
  text: `
    insert into devices (user_id, device_id, acked_seq, lease, last_seen_at)
    select user_id, device_id, acked_seq, lease, $5::timestamptz
      from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) as a (user_id, device_id, acked_seq, lease)
    on conflict (user_id, device_id) do update
       set acked_seq = greatest(devices.acked_seq, excluded.acked_seq), last_seen_at = excluded.last_seen_at
     where devices.lease is null or excluded.lease is null or devices.lease <= excluded.lease`
}

export interface CursorAdvance { user_id: string, device_id: string, seq: number, lease: number | null }

/** Moves cursors forward, never back, and not for a connection that a newer one has replaced. */
export async function advanceCursors (tx: Executor, cursors: CursorAdvance[], at: Date): Promise<void> {
  if (cursors.length === 0) return
  await tx.rows(ADVANCE, [cursors.map(c =>
    c.user_id), cursors.map(c => c.device_id), cursors.map(c => c.seq), cursors.map(c => c.lease), at])
}

export interface Device {
  device_id: string
  platform: 'android' | 'ios' | 'web' | null
  push_token: string | null
  acked_seq: number | null
  last_seen_at: Date
}

const deviceColumns = {
  device_id: devices.device_id,
  platform: devices.platform,
  push_token: devices.push_token,
  acked_seq: devices.acked_seq,
  last_seen_at: devices.last_seen_at
}

/** Registers a push token. A token belongs to one device of one user: the latest registration wins. */
export async function registerDevice (
  tx: Executor, userId: string, deviceId: string,
  { platform, pushToken }: { platform: NonNullable<Device['platform']>, pushToken: string }
): Promise<Device> {
  // Held until the end of the transaction: two registrations of one token happen one after the other.
  await tx.orm.execute(sql`select pg_advisory_xact_lock(hashtextextended(${pushToken}, 0))`)
  await tx.orm.update(devices).set({ push_token: null })
    .where(and(eq(
      devices.push_token, pushToken
    ), sql`(${devices.user_id}, ${devices.device_id}) <> (${userId}, ${deviceId})`))
  const [device] = await tx.orm.insert(devices)
    .values({
      user_id: userId, device_id: deviceId, platform, push_token: pushToken, registered_at: sql`now()`
    })
    .onConflictDoUpdate({
      target: [devices.user_id, devices.device_id],
      set: { platform, push_token: pushToken, registered_at: sql`now()`, last_seen_at: sql`now()` }
    })
    .returning(deviceColumns)
  return device!
}

export async function listDevices (db: Executor, userId: string): Promise<Device[]> {
  return await db.orm.select(deviceColumns).from(devices).where(eq(devices.user_id, userId))
    .orderBy(devices.device_id)
}

/** A device as others may see it: that it has a push token, never the token. */
export interface StoredDevice extends Omit<Device, 'push_token'> { has_push_token: boolean }

/** The devices last seen. */
export async function recentDevices (db: Executor, userId: string, limit: number): Promise<StoredDevice[]> {
  const { push_token, ...columns } = deviceColumns
  return await db.orm.select({ ...columns, has_push_token: sql<boolean>`${push_token} is not null` })
    .from(devices).where(eq(devices.user_id, userId)).orderBy(
      desc(devices.last_seen_at), devices.device_id
    ).limit(limit)
}

/** False when there was none. */
export async function removeDevice (db: Executor, userId: string, deviceId: string): Promise<boolean> {
  const removed = await db.orm.delete(devices)
    .where(and(eq(devices.user_id, userId), eq(devices.device_id, deviceId)))
    .returning({ device_id: devices.device_id })
  return removed.length > 0
}
