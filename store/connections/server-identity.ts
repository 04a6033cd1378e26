/** Which server answers: a standby that took over, and a restored cluster, have another timeline. */
import pg, { type ClientBase } from 'pg'

const NOT_PERMITTED = '42501'

// On a standby this fails as every write would: the connection is of no use.
const IDENTITY = `
  select (select system_identifier from pg_control_system()) || '/' ||
         left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) as identity`

/** Undefined: the server does not tell this user. */
export async function identify (client: ClientBase): Promise<string | undefined> {
  try {
    return (await client.query<{ identity: string }>(IDENTITY)).rows[0]!.identity
  } catch (error) {
    if (error instanceof pg.DatabaseError && error.code === NOT_PERMITTED) return undefined
    throw error
  }
}

export interface ServerWatch {
  found (identity: string | undefined): void
  /** Calls back when another server is found than before. */
  onOther (listener: () => void): void
}

export function createServerWatch (): ServerWatch {
  const listeners: Array<() => void> = []
  let known: string | undefined
  return {
    found (identity) {
      const other = known !== undefined && identity !== undefined && identity !== known
      known = identity ?? known
      if (other) for (const listener of listeners) listener()
    },
    onOther (listener) { listeners.push(listener) }
  }
}
