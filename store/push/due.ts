/**
 * Users who have something to be woken for: one row each, claimed by bridges with a lease.
 *
 * `seq` is the newest event the row stands for. It moves with every such event,
 * so a bridge that is done can tell whether something came while it was sending.
 */
import { type Executor, type Statement } from '../database.ts'
import { overSets } from '../row-sets.ts'
import { claimStatement, releaseStatement, settleStatement, type LeasedTable } from './leases.ts'

const PUSH_DUE: LeasedTable = { table: 'push_due', mark: 'seq', markType: 'bigint' }

/**
 * When a row that exists becomes due: a new event is never later than its own time,
 * except behind a push that is being sent, merged or retried. A failing device
 * holds up what is new for the user's other devices by a minute at most.
 */
export const earlierDue = `
  least(push_due.due_at,
        excluded.due_at + case when push_due.attempts = 0 then interval '0' else interval '1 minute' end)`

export interface DuePush { userId: string, seq: number, dueAt: Date }

// A user who has caught up in the meantime gets no row.
const SCHEDULE = overSets<[DuePush]>({
  name: 'push_due_schedule',
  scalars: 0,
  sets: [{
    alias: 'd',
    columns: {
      user_id: ['text', due => due.userId],
      seq: ['bigint', due => due.seq],
      due_at: ['timestamptz', due => due.dueAt]
    }
  }],
  text: due => `
    insert into push_due (user_id, seq, due_at)
    select d.user_id, d.seq, d.due_at
      from ${due}
      join users u on u.id = d.user_id and u.acked_seq < d.seq
     order by u.id
    on conflict (user_id) do update
       set seq = greatest(push_due.seq, excluded.seq), due_at = ${earlierDue}`
})

/** Makes a push due for each user who has not acknowledged `seq`. */
export async function schedulePushes (db: Executor, due: DuePush[]): Promise<void> {
  await SCHEDULE(db, [due])
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

/** Cancels the pushes of users who have caught up. */
export async function cancelPushes (tx: Executor, userIds: string[]): Promise<void> {
  await tx.rows(CANCEL, [userIds])
}

const CLAIM = claimStatement(PUSH_DUE, 'user_id, seq, attempts')

export interface ClaimedPush { user_id: string, seq: number, attempts: number }

export async function claimPushes (
  db: Executor, now: Date, leasedUntil: Date, limit: number
): Promise<ClaimedPush[]> {
  return await db.rows(CLAIM, [now, leasedUntil, limit])
}

// Indexes: push_due_due_at_index and push_reads_due_at_index, each from its start.
const NEXT_DUE: Statement = {
  name: 'push_due_next',
  text: `
    select (select min(due_at) from push_due where leased_until is null or leased_until <= $1) as pushes_at,
           (select min(due_at) from push_reads where leased_until is null or leased_until <= $1) as reads_at`
}

/** When the first row becomes due that nobody has claimed, of the pushes that wake and of the silent ones. */
export async function nextDue (
  db: Executor, now: Date
): Promise<{ pushesAt: Date | undefined, readsAt: Date | undefined }> {
  const [row] = await db.rows<{ pushes_at: Date | null, reads_at: Date | null }>(NEXT_DUE, [now])
  return { pushesAt: row?.pushes_at ?? undefined, readsAt: row?.reads_at ?? undefined }
}

// Index: push_due_due_at_index. Counting stops at a number that says enough.
const MEASURE: Statement = {
  name: 'push_due_measure',
  text: `
    select count(*)::int as rows, min(due_at) as oldest_at
      from (select due_at from push_due where due_at <= $1 order by due_at limit 100000) as due`
}

/** How many users are due, and since when the first of them; claimed ones count until they are done. */
export async function measureDue (
  db: Executor, now: Date
): Promise<{ rows: number, oldestAt: Date | undefined }> {
  const [row] = await db.rows<{ rows: number, oldest_at: Date | null }>(MEASURE, [now])
  return { rows: row?.rows ?? 0, oldestAt: row?.oldest_at ?? undefined }
}

const SETTLE = settleStatement(PUSH_DUE)
// A statement of its own: its snapshot sees what the delete above waited for.
const RELEASE = releaseStatement(PUSH_DUE, {
  does: 'release', given: { seq: 'bigint' }, only: 'p.seq <> v.seq', set: 'attempts = 0'
})

/** Removes claimed rows that are done; one that moved while it was claimed becomes due again. */
export async function settlePushes (
  db: Executor, claims: Array<{ user_id: string, seq: number }>, leasedUntil: Date
): Promise<void> {
  if (claims.length === 0) return
  const values = [claims.map(claim => claim.user_id), claims.map(claim => claim.seq), leasedUntil]
  await db.rows(SETTLE, values)
  await db.rows(RELEASE, values)
}

const POSTPONE = releaseStatement(PUSH_DUE, {
  does: 'postpone',
  given: { due_at: 'timestamptz', attempts: 'int' },
  set: 'due_at = back.due_at, attempts = back.attempts'
})

/** `attempts` is what the next claim counts on from. */
export interface PostponedPush { user_id: string, due_at: Date, attempts: number }

/** Gives claimed rows back, to be claimed again when they are due. */
export async function postponePushes (
  db: Executor, postponed: PostponedPush[], leasedUntil: Date
): Promise<void> {
  if (postponed.length === 0) return
  await db.rows(POSTPONE, [
    postponed.map(p => p.user_id), postponed.map(p => p.due_at), postponed.map(p => p.attempts), leasedUntil
  ])
}
