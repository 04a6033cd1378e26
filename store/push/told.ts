/**
 * What devices were told, and tokens that lead nowhere. Rows are locked in order:
 * two bridges then queue up instead of deadlocking.
 */
import { type Executor, type Statement } from '../database.ts'
import { type PushDevice } from './pending.ts'

const RECORD: Statement = {
  name: 'push_due_record',
  text: `
    with told as materialized (
      select d.user_id, d.device_id, r.pushed_seq, r.pushed_at, r.paced_until
        from devices d
        join unnest($1::text[], $2::text[], $3::bigint[], $4::timestamptz[], $5::timestamptz[])
             as r (user_id, device_id, pushed_seq, pushed_at, paced_until)
          on d.user_id = r.user_id and d.device_id = r.device_id
       order by d.user_id, d.device_id collate "C"
         for no key update of d
    )
    update devices d
       set pushed_seq = greatest(d.pushed_seq, told.pushed_seq),
           pushed_at = coalesce(told.pushed_at, d.pushed_at),
           push_paced_until = coalesce(told.paced_until, d.push_paced_until)
      from told
     where d.user_id = told.user_id and d.device_id = told.device_id`
}

/** `pushed_at` undefined: there was nothing to tell up to `pushed_seq`. */
export interface PushRecord {
  user_id: string
  device_id: string
  pushed_seq: number
  pushed_at: Date | undefined
  paced_until: Date | undefined
}

export async function recordPushed (db: Executor, records: PushRecord[]): Promise<void> {
  if (records.length === 0) return
  await db.rows(RECORD, [
    records.map(r => r.user_id), records.map(r => r.device_id), records.map(r => r.pushed_seq),
    records.map(r => r.pushed_at ?? null), records.map(r => r.paced_until ?? null)
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
    update devices d
       set push_token = null
      from gone
     where d.user_id = gone.user_id and d.device_id = gone.device_id`
}

/** Forgets tokens that lead nowhere; a device that has another one by now keeps it. */
export async function forgetPushTokens (
  db: Executor, gone: Array<Pick<PushDevice, 'user_id' | 'device_id' | 'push_token'>>
): Promise<void> {
  if (gone.length === 0) return
  await db.rows(
    FORGET_TOKENS, [gone.map(g => g.user_id), gone.map(g => g.device_id), gone.map(g => g.push_token)]
  )
}
