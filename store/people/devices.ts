/** Devices as their user and an administrator see them, and their push tokens. */
import { and, desc, eq, sql } from 'drizzle-orm'
import { devices } from '../../migrations/schema.ts'
import { type Executor, type Statement } from '../database.ts'
import { lockUsers } from '../locks.ts'

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

/** Each costs a push for every message. */
export const MAX_REGISTERED_DEVICES = 20

// Index: devices_pkey.
const FORGET_BEYOND: Statement = {
  name: 'devices_forget_beyond',
  text: `
    delete from devices d
     using (select device_id
              from devices
             where user_id = $1 and push_token is not null
             order by (device_id = $2) desc, last_seen_at desc, device_id
            offset ${MAX_REGISTERED_DEVICES}) as beyond
     where d.user_id = $1 and d.device_id = beyond.device_id`
}

/**
 * Registers a push token. A token belongs to one device of one user: the latest registration wins. Of more
 * than MAX_REGISTERED_DEVICES the one that was not seen for longest goes. A device that had none is told of
 * nothing that came before.
 */
export async function registerDevice (
  tx: Executor, userId: string, deviceId: string,
  { platform, pushToken }: { platform: NonNullable<Device['platform']>, pushToken: string }
): Promise<Device> {
  // Under the user's lock, so that registrations at once do not each count without the other.
  await lockUsers(tx, [userId])
  // Held until the end of the transaction: two registrations of one token happen one after the other.
  await tx.orm.execute(sql`select pg_advisory_xact_lock(hashtextextended(${pushToken}, 0))`)
  await tx.orm.update(devices).set({ push_token: null })
    .where(and(eq(
      devices.push_token, pushToken
    ), sql`(${devices.user_id}, ${devices.device_id}) <> (${userId}, ${deviceId})`))
  const end = sql`coalesce((select inbox_seq from users where id = ${userId}), 0)`
  const [device] = await tx.orm.insert(devices)
    .values({
      user_id: userId,
      device_id: deviceId,
      platform,
      push_token: pushToken,
      pushed_seq: end,
      registered_at: sql`now()`
    })
    .onConflictDoUpdate({
      target: [devices.user_id, devices.device_id],
      set: {
        platform,
        push_token: pushToken,
        pushed_seq: sql`case when ${devices.push_token} is null then ${end} else ${devices.pushed_seq} end`,
        registered_at: sql`now()`,
        last_seen_at: sql`now()`
      }
    })
    .returning(deviceColumns)
  await tx.rows(FORGET_BEYOND, [userId, deviceId])
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
