/**
 * Users who read something that other devices of theirs still show: one row per
 * user, written with the read, claimed by bridges with a lease.
 *
 * What a device shows follows from the log: it was told of everything up to its
 * pushed_seq and has itself everything up to its acked_seq. `due_at` moves when
 * the user reads while the row is claimed, so that it is not deleted then.
 */
import { type Executor, type Statement } from '../database.ts'
import { claimStatement, releaseStatement, settleStatement, type LeasedTable } from './leases.ts'
import { type PushDevice } from './pending.ts'

const PUSH_READS: LeasedTable = { table: 'push_reads', mark: 'due_at', markType: 'timestamptz' }

// With `offset 0` the planner looks at the user first: `push_token is not null` alone would have it read
// the whole index of tokens.
const DEVICES_OF = (user: string): string => `
               select user_id, device_id, platform, push_token, pushed_at, pushed_seq, push_cleared_at,
                      acked_seq
                 from devices
                where user_id = ${user}
               offset 0`

// Index: devices_pkey, once per reader. Few have a device that was told and has not caught up.
const NOTE: Statement = {
  name: 'push_reads_note',
  text: `
    insert into push_reads (user_id, due_at)
    select r.user_id, $2::timestamptz
      from unnest($1::text[]) as r (user_id)
     where exists (
             select 1
               from (${DEVICES_OF('r.user_id')}) as d
              where d.push_token is not null
                and d.pushed_at is not null and d.pushed_seq > coalesce(d.acked_seq, 0))
     order by r.user_id collate "C"
    on conflict (user_id) do update
       set due_at = excluded.due_at
     where push_reads.leased_until is not null`
}

/**
 * Notes that users have read something; only of those with a device that shows something.
 * They must be locked by this transaction.
 */
export async function notePushReads (tx: Executor, userIds: string[], dueAt: Date): Promise<void> {
  if (userIds.length > 0) await tx.rows(NOTE, [userIds, dueAt])
}

const CLAIM = claimStatement(PUSH_READS, 'user_id, due_at, attempts, created_at')

export interface ClaimedReads { user_id: string, due_at: Date, attempts: number, created_at: Date }

export async function claimReads (
  db: Executor, now: Date, leasedUntil: Date, limit: number
): Promise<ClaimedReads[]> {
  return await db.rows(CLAIM, [now, leasedUntil, limit])
}

/** A phone keeps no more notifications than these could have left. */
const MAX_SHOWN_EVENTS = 1_000
/**
 * Clocks differ and commits overtake each other: a device is told again of reads
 * that are older than its last silent push by less than this.
 */
const MARGIN = '1 minute'

// Indexes: devices_pkey, inbox_events_pkey from its end, messages_pkey, conversation_participants_pkey.
const SHOWN: Statement = {
  name: 'push_reads_shown',
  text: `
    select d.user_id, d.device_id, d.platform, d.push_token, d.push_cleared_at,
           seen.conversation_id, seen.up_to_seq
      from push_reads due
      join lateral (${DEVICES_OF('due.user_id')}) as d
        on d.push_token is not null and d.pushed_at is not null and d.pushed_seq > coalesce(d.acked_seq, 0)
      cross join lateral (
        select p.conversation_id, p.last_read_seq as up_to_seq, p.last_read_at as at
          from (
            select shown.conversation_id, min(m.seq) as first_seq
              from (select e.conversation_id, e.message_id
                      from inbox_events e
                     where e.user_id = d.user_id
                       and e.seq > coalesce(d.acked_seq, 0) and e.seq <= d.pushed_seq
                       and e.type = 'new_message' and e.created_at > $3
                     order by e.seq desc
                     limit ${MAX_SHOWN_EVENTS}) as shown
              join messages m on m.id = shown.message_id
             group by shown.conversation_id) as told
          join conversation_participants p
            on p.conversation_id = told.conversation_id and p.user_id = d.user_id
           and p.last_read_seq >= told.first_seq
         where p.last_read_at is not null
           and (d.push_cleared_at is null or p.last_read_at > d.push_cleared_at - interval '${MARGIN}')
         order by p.last_read_at desc
         limit $4) as seen
     where due.user_id = any($1::text[]) and due.leased_until = $2
     order by d.user_id, d.device_id, seen.at desc`
}

export interface ReadDevice extends Pick<PushDevice, 'user_id' | 'device_id' | 'platform' | 'push_token'> {
  push_cleared_at: Date | null
  /** What was read, the latest first. */
  read: Array<{ conversation_id: string, up_to_seq: number }>
}

type ShownRow = Omit<ReadDevice, 'read'> & { conversation_id: string, up_to_seq: number }

/**
 * Devices of the claimed users that show what was read elsewhere; of it nothing
 * created before `expiresBefore`.
 */
export async function devicesShowingRead (db: Executor, {
  userIds, leasedUntil, expiresBefore, maxConversations
}: {
  userIds: string[], leasedUntil: Date, expiresBefore: Date, maxConversations: number
}): Promise<ReadDevice[]> {
  const devices: ReadDevice[] = []
  for (const { conversation_id, up_to_seq, ...row } of await db.rows<ShownRow>(
    SHOWN, [userIds, leasedUntil, expiresBefore, maxConversations]
  )) {
    let device = devices.at(-1)
    if (device?.user_id !== row.user_id || device.device_id !== row.device_id) {
      device = { ...row, read: [] }
      devices.push(device)
    }
    device.read.push({ conversation_id, up_to_seq })
  }
  return devices
}

const CLEARED: Statement = {
  name: 'push_reads_cleared',
  text: `
    with told as materialized (
      select d.user_id, d.device_id
        from devices d
        join unnest($1::text[], $2::text[]) as t (user_id, device_id)
          on d.user_id = t.user_id and d.device_id = t.device_id
       order by d.user_id, d.device_id collate "C"
         for no key update of d
    )
    update devices d
       set push_cleared_at = $3
      from told
     where d.user_id = told.user_id and d.device_id = told.device_id`
}

export async function recordCleared (
  tx: Executor, devices: Array<{ user_id: string, device_id: string }>, at: Date
): Promise<void> {
  if (devices.length > 0) {
    await tx.rows(CLEARED, [devices.map(d => d.user_id), devices.map(d => d.device_id), at])
  }
}

// Two statements: a row that moved meanwhile is no longer the one that was claimed, and goes back.
const SETTLE = settleStatement(PUSH_READS)
const RELEASE = releaseStatement(PUSH_READS, {
  does: 'release', given: { due_at: 'timestamptz' }, set: 'due_at = greatest(p.due_at, back.due_at)'
})

/**
 * Removes claims that are done; gives the others, and those with something new,
 * back to be claimed again at their time.
 */
export async function settleReads (
  tx: Executor, done: ClaimedReads[], later: Array<{ user_id: string, due_at: Date }>, leasedUntil: Date
): Promise<void> {
  if (done.length > 0) {
    await tx.rows(SETTLE, [done.map(claim => claim.user_id), done.map(claim => claim.due_at), leasedUntil])
  }
  const back = [...later, ...done]
  if (back.length > 0) {
    await tx.rows(RELEASE, [back.map(claim => claim.user_id), back.map(claim => claim.due_at), leasedUntil])
  }
}
