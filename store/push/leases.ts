/**
 * Work that is claimed with a lease: one row per user, in `push_due` and in `push_reads`.
 *
 * A claim takes rows that are due and puts `leased_until` into the future. That time is also the
 * proof of the claim: a bridge that finds another value there has lost the row, to a cancellation
 * or to a bridge that came after the lease. `mark` is the column that moves when there is news
 * for the user; a row whose mark has moved since the claim is not done.
 *
 * Statements on several rows lock them in id order first, so that bridges, senders and
 * acknowledgements queue up instead of deadlocking.
 */
import { type Statement } from '../database.ts'

export interface LeasedTable {
  table: 'push_due' | 'push_reads'
  mark: string
  markType: 'bigint' | 'timestamptz'
}

/**
 * Takes `now`, `leasedUntil` and how many at most. The array is filled once: a join with the
 * limited subquery may run it again and claim more. Indexes: <table>_due_at_index, <table>_pkey.
 */
export const claimStatement = ({ table }: LeasedTable, returning: string): Statement => ({
  name: `${table}_claim`,
  text: `
    update ${table}
       set leased_until = $2, attempts = attempts + 1
     where user_id = any(array(
             select user_id
               from ${table}
              where due_at <= $1 and (leased_until is null or leased_until <= $1)
              order by due_at
              limit $3
                for update skip locked))
    returning ${returning}`
})

/** Removes claimed rows whose mark has not moved. Takes users, their marks and the lease. */
export const settleStatement = ({ table, mark, markType }: LeasedTable): Statement => ({
  name: `${table}_settle`,
  text: `
    with done as materialized (
      select p.user_id
        from ${table} p
        join unnest($1::text[], $2::${markType}[]) as v (user_id, mark)
          on p.user_id = v.user_id and p.${mark} = v.mark
       where p.leased_until = $3
       order by p.user_id
         for update of p
    )
    delete from ${table} p
     using done
     where p.user_id = done.user_id`
})

/**
 * Gives claimed rows back. `given` names the arrays that come after the users, as columns of `v`;
 * the lease is the last value. `set` may use the row `p` and `back`, which has the given columns.
 */
export const releaseStatement = ({ table }: LeasedTable, { does, given, only = 'true', set }: {
  does: 'release' | 'postpone', given: Record<string, string>, only?: string, set: string
}): Statement => {
  const columns = Object.keys(given)
  const arrays = Object.values(given).map((type, i) => `$${i + 2}::${type}[]`)
  return {
    name: `${table}_${does}`,
    text: `
    with back as materialized (
      select ${['p.user_id', ...columns.map(column => `v.${column}`)].join(', ')}
        from ${table} p
        join unnest(${['$1::text[]', ...arrays].join(', ')}) as v (${['user_id', ...columns].join(', ')})
          on p.user_id = v.user_id
       where p.leased_until = $${columns.length + 2} and ${only}
       order by p.user_id
         for update of p
    )
    update ${table} p
       set leased_until = null, ${set}
      from back
     where p.user_id = back.user_id`
  }
}
