/**
 * After a crash no process watches the sessions that were open. What they left unacknowledged
 * is made due, page by page through the users. How far that has got is a row: any bridge goes on
 * with it, whatever happens to the one that began.
 */
import { type Executor, type Statement } from '../database.ts'

/** Of an inbox so many of the newest events are looked at for a message. */
const LOOKED_AT = 1_000

// One that is under way begins again: it may have passed the users of a node that has gone since.
const REQUEST: Statement = {
  name: 'push_recovery_request',
  text: `
    insert into push_recovery (due_at) values ($1)
    on conflict (id) do update
       set due_at = excluded.due_at, after_user_id = excluded.after_user_id`
}

/** Pushes of users who do not acknowledge until `dueAt` become due then. */
export async function requestRecovery (db: Executor, dueAt: Date): Promise<void> {
  await db.rows(REQUEST, [dueAt])
}

const WANTED: Statement = { name: 'push_recovery_wanted', text: 'select 1 from push_recovery where id = 1' }

export async function recoveryWanted (db: Executor): Promise<boolean> {
  return (await db.rows(WANTED, [])).length > 0
}

const CLAIM: Statement = {
  name: 'push_recovery_claim',
  text: 'select due_at, after_user_id from push_recovery where id = 1 for update skip locked'
}

// Users with a phone to wake, and a message that it was never told of. Who is due already may be told at this
// moment, and is left out. Indexes: users_pkey, push_due_pkey, devices_pkey, inbox_events_pkey from its end.
const PAGE: Statement = {
  name: 'push_recovery_page',
  text: `
    with page as materialized (
      select id, inbox_seq, acked_seq from users where id > $1 order by id limit $2
    ), due as (
      insert into push_due (user_id, seq, due_at)
      select u.id, u.inbox_seq, $3
        from page u
       cross join lateral (
             select min(pushed_seq) as told_seq
               from (select push_token, pushed_seq from devices where user_id = u.id offset 0) as d
              where d.push_token is not null) as phones
       where greatest(u.acked_seq, phones.told_seq) < u.inbox_seq and phones.told_seq is not null
         and not exists (select 1 from push_due p where p.user_id = u.id)
         and exists (
               select 1
                 from (select type, created_at
                         from inbox_events
                        where user_id = u.id and seq > greatest(u.acked_seq, phones.told_seq)
                        order by seq desc
                        limit ${LOOKED_AT}) as e
                where e.type = 'new_message' and e.created_at > $4)
       order by u.id
      on conflict do nothing
      returning 1
    )
    select (select max(id) from page) as last_user_id, (select count(*)::int from due) as due`
}

const MOVE: Statement = {
  name: 'push_recovery_move',
  text: 'update push_recovery set after_user_id = $1 where id = 1'
}

const END: Statement = { name: 'push_recovery_end', text: 'delete from push_recovery where id = 1' }

/**
 * Goes on with the next `limit` users. Resolves to how many of them became due; undefined: there is nothing
 * to recover, or another process is at it. Nothing created before `since` makes a push due.
 */
export async function recoverPage (
  tx: Executor, { limit, since }: { limit: number, since: Date }
): Promise<number | undefined> {
  const [state] = await tx.rows<{ due_at: Date, after_user_id: string }>(CLAIM, [])
  if (state === undefined) return undefined
  const page = await recoverUsers(
    tx, { afterUserId: state.after_user_id, limit, dueAt: state.due_at, since }
  )
  await (page!.last_user_id === null ? tx.rows(END, []) : tx.rows(MOVE, [page!.last_user_id]))
  return page!.due
}

export async function recoverUsers (tx: Executor, { afterUserId, limit, dueAt, since }: {
  afterUserId: string, limit: number, dueAt: Date, since: Date
}): Promise<{ last_user_id: string | null, due: number } | undefined> {
  const [page] = await tx.rows<{ last_user_id: string | null, due: number }>(
    PAGE, [afterUserId, limit, dueAt, since]
  )
  return page
}
