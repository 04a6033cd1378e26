/** Sessions of devices: their lease, their cursor in the inbox log and their MQTT subscriptions. */
import { type StoredSubscription } from '../../migrations/schema.ts'
import { type Executor, type Statement } from '../database.ts'
import { overSets } from '../row-sets.ts'

export interface DeviceId { userId: string, deviceId: string }

/** Where delivery to a device may start, and where its user's log ends. */
export interface StartingPoint {
  inbox_seq: number
  /** The furthest that any device of the user has acknowledged. */
  acked_seq: number
  /** What this device has acknowledged; null: it never had a cursor. */
  cursor: number | null
}

export interface OpeningDevice extends DeviceId {
  /** A clean session ends the stored one. */
  clean: boolean
}

export interface OpenedDevice {
  /** Above that of every earlier connection of the device. */
  lease: number
  /** What the stored session subscribed to. */
  subscriptions: StoredSubscription[]
  /** There is a stored session, with subscriptions or without. */
  stored: boolean
  /** Undefined: the user is not stored. */
  start: StartingPoint | undefined
}

// A device that is not known gets its lease all the same, and its row with its first subscription. A
// clean session ends the stored one [MQTT-3.1.2-6]; the cursor stays. The two halves are put together
// by the caller: a join would compare each device with each other one.
// Indexes: devices_pkey, users_pkey.
const OPEN: Statement = {
  name: 'devices_open',
  text: `
    with asked as materialized (
      select a.i::int as i, a.user_id, a.device_id, a.clean, nextval('device_leases') as lease
        from unnest($1::text[], $2::text[], $3::boolean[])
             with ordinality as a (user_id, device_id, clean, i)
    ), opened as (
      update devices d
         set lease = a.lease,
             last_seen_at = now(),
             subscriptions = case when a.clean then null else d.subscriptions end
        from asked a
       where d.user_id = a.user_id and d.device_id = a.device_id
      returning a.i, d.subscriptions, d.acked_seq
    )
    select a.i, a.lease, u.inbox_seq, u.acked_seq, null::jsonb as subscriptions, null::bigint as cursor
      from asked a
      left join lateral (select inbox_seq, acked_seq from users where id = a.user_id offset 0) u on true
    union all
    select i, null, null, null, subscriptions, acked_seq from opened`
}

interface OpenRow {
  i: number
  /** Null: the row is the stored device's, else the user's. */
  lease: number | null
  inbox_seq: number | null
  acked_seq: number | null
  subscriptions: StoredSubscription[] | null
  cursor: number | null
}

/**
 * Connections of these devices begin: each gets a lease, what its stored session subscribed to, and
 * where delivery may start. No device may be among them twice. They are locked in the order given.
 */
export async function openDevices (db: Executor, devices: OpeningDevice[]): Promise<OpenedDevice[]> {
  const rows = await db.rows<OpenRow>(
    OPEN, [devices.map(d => d.userId), devices.map(d => d.deviceId), devices.map(d => d.clean)]
  )
  const stored = new Map(rows.filter(row => row.lease === null).map(row => [row.i, row]))
  const opened: OpenedDevice[] = []
  for (const { i, lease, inbox_seq, acked_seq } of rows) {
    if (lease === null) continue
    const device = stored.get(i)
    opened[i - 1] = {
      lease,
      subscriptions: device?.subscriptions ?? [],
      stored: device?.subscriptions != null,
      start: inbox_seq === null || acked_seq === null
        ? undefined
        : { inbox_seq, acked_seq, cursor: device?.cursor ?? null }
    }
  }
  return opened
}

// Index: devices_pkey.
const UNSYNCED: Statement = {
  name: 'devices_unsynced',
  text: `
    select a.user_id, a.device_id
      from unnest($1::text[], $2::text[]) as a (user_id, device_id)
      join devices d on d.user_id = a.user_id and d.device_id = a.device_id and d.synced_at < $3`
}

/** Those of the devices that have not been told of what was lost before `at`. */
export async function unsyncedDevices (db: Executor, devices: DeviceId[], at: Date): Promise<DeviceId[]> {
  const rows = await db.rows<{ user_id: string, device_id: string }>(
    UNSYNCED, [devices.map(d => d.userId), devices.map(d => d.deviceId), at]
  )
  return rows.map(row => ({ userId: row.user_id, deviceId: row.device_id }))
}

const SYNCED: Statement = {
  name: 'devices_synced',
  text: `
    update devices d
       set synced_at = now()
      from unnest($1::text[], $2::text[]) as a (user_id, device_id)
     where d.user_id = a.user_id and d.device_id = a.device_id`
}

/** The users must be locked by this transaction. */
export async function markSynced (tx: Executor, devices: DeviceId[]): Promise<void> {
  await tx.rows(SYNCED, [devices.map(d => d.userId), devices.map(d => d.deviceId)])
}

// Index: devices_pkey.
const FENCED: Statement = {
  name: 'devices_fenced',
  text: `
    select a.i::int as i
      from unnest($1::text[], $2::text[], $3::bigint[]) with ordinality as a (user_id, device_id, lease, i)
      join devices d on d.user_id = a.user_id and d.device_id = a.device_id and d.lease > a.lease`
}

/**
 * Which of these leases (by position) belong to a connection that a newer one of the same device has
 * replaced.
 */
export async function findFenced (
  tx: Executor, held: Array<{ userId: string, deviceId: string, lease: number }>
): Promise<Set<number>> {
  const rows = await tx.rows<{ i: number }>(
    FENCED, [held.map(h => h.userId), held.map(h => h.deviceId), held.map(h => h.lease)]
  )
  return new Set(rows.map(row => row.i - 1))
}

// A connection that was replaced writes nothing any more.
// Indexes: users_pkey, devices_pkey.
const SAVE: Statement = {
  name: 'devices_save',
  text: `
    with asked as materialized (
      select a.i::int as i, a.user_id, a.device_id, a.lease, a.subscriptions, u.inbox_seq, u.acked_seq
        from unnest($1::text[], $2::text[], $3::bigint[], $4::text[])
             with ordinality as a (user_id, device_id, lease, subscriptions, i)
             cross join lateral (
               select inbox_seq, acked_seq from users where id = a.user_id offset 0) u
    ), saved as (
      insert into devices (user_id, device_id, lease, subscriptions, acked_seq)
      select user_id, device_id, lease, subscriptions::jsonb, acked_seq from asked order by i
      on conflict (user_id, device_id) do update
         set subscriptions = excluded.subscriptions,
             lease = excluded.lease,
             acked_seq = coalesce(devices.acked_seq, excluded.acked_seq),
             last_seen_at = now()
       where devices.lease is null or devices.lease <= excluded.lease
      returning user_id, device_id, acked_seq
    )
    select i, inbox_seq, acked_seq, null as user_id, null as device_id, null::bigint as cursor from asked
    union all
    select null, null, null, user_id, device_id, acked_seq from saved`
}

export interface SessionChange extends DeviceId {
  lease: number
  subscriptions: readonly StoredSubscription[]
}

type SaveRow =
  | { i: number, inbox_seq: number, acked_seq: number }
  | { i: null, user_id: string, device_id: string, cursor: number | null }

/**
 * Stores the subscriptions of these sessions. A device without a cursor gets one, where the user's
 * devices have got to. Returns where delivery may start; undefined for a user who is not stored. No
 * device may be among them twice. They are locked in the order given.
 */
export async function saveSubscriptions (
  db: Executor, changes: SessionChange[]
): Promise<Array<StartingPoint | undefined>> {
  const rows = await db.rows<SaveRow>(SAVE, [
    changes.map(c => c.userId), changes.map(c => c.deviceId), changes.map(c => c.lease),
    changes.map(c => JSON.stringify(c.subscriptions))
  ])
  const cursors = new Map<string, number | null>()
  for (const row of rows) if (row.i === null) cursors.set(`${row.user_id}/${row.device_id}`, row.cursor)
  const starts = changes.map((): StartingPoint | undefined => undefined)
  for (const row of rows) {
    if (row.i === null) continue
    const { userId, deviceId } = changes[row.i - 1]!
    const cursor = cursors.get(`${userId}/${deviceId}`) ?? null
    starts[row.i - 1] = { inbox_seq: row.inbox_seq, acked_seq: row.acked_seq, cursor }
  }
  return starts
}

// Indexes: users_pkey, devices_pkey.
const START: Statement = {
  name: 'devices_start',
  text: `
    select a.i::int as i, u.inbox_seq, u.acked_seq, d.acked_seq as cursor
      from unnest($1::text[], $2::text[]) with ordinality as a (user_id, device_id, i)
           cross join lateral (
             select inbox_seq, acked_seq from users where id = a.user_id offset 0) u
           left join lateral (
             select acked_seq from devices where user_id = a.user_id and device_id = a.device_id offset 0
           ) d on true`
}

/** Where delivery to these devices may start; undefined for a user who is not stored. */
export async function startingPoints (
  db: Executor, devices: DeviceId[]
): Promise<Array<StartingPoint | undefined>> {
  const rows = await db.rows<StartingPoint & { i: number }>(
    START, [devices.map(d => d.userId), devices.map(d => d.deviceId)]
  )
  const starts = devices.map((): StartingPoint | undefined => undefined)
  for (const { i, ...start } of rows) starts[i - 1] = start
  return starts
}

// Rows of one flush, sorted by the caller, so that two flushes cannot deadlock. Nearly all are there:
// an update alone writes half of what an upsert does. What changes in a row is logged from the first byte to
// the last: a time that moves each minute halves what most updates log. Index: devices_pkey.
const ADVANCE = overSets<[CursorAdvance]>({
  name: 'devices_advance',
  scalars: 1,
  sets: [{
    alias: 'a',
    columns: {
      user_id: ['text', c => c.user_id],
      device_id: ['text', c => c.device_id],
      acked_seq: ['bigint', c => c.seq],
      lease: ['bigint', c => c.lease]
    }
  }],
  text: cursors => `
    with reached as materialized (
      select * from ${cursors} where a.user_id is not null
    ), moved as (
      update devices
         set acked_seq = greatest(devices.acked_seq, a.acked_seq),
             last_seen_at = case
               when devices.last_seen_at > $1::timestamptz - interval '1 minute' then devices.last_seen_at
               else $1::timestamptz
             end
        from reached a
       where devices.user_id = a.user_id and devices.device_id = a.device_id
         and (devices.lease is null or a.lease is null or devices.lease <= a.lease)
    )
    insert into devices (user_id, device_id, acked_seq, lease, last_seen_at)
    select user_id, device_id, acked_seq, lease, $1::timestamptz
      from reached a
     where not exists (
             select 1 from devices d where d.user_id = a.user_id and d.device_id = a.device_id)
    on conflict (user_id, device_id) do update
       set acked_seq = greatest(devices.acked_seq, excluded.acked_seq), last_seen_at = excluded.last_seen_at
     where devices.lease is null or excluded.lease is null or devices.lease <= excluded.lease`
})

export interface CursorAdvance { user_id: string, device_id: string, seq: number, lease: number | null }

/**
 * Moves cursors forward, never back, and not for a connection that a newer one has replaced. When the device
 * was last seen moves with them at most once a minute.
 */
export async function advanceCursors (tx: Executor, cursors: CursorAdvance[], at: Date): Promise<void> {
  if (cursors.length === 0) return
  await ADVANCE(tx, [cursors], at)
}
