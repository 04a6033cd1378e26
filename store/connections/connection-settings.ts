/** What every connection tells the server about itself, once. */

// Plans must not depend on statistics. Made while the tables were empty, or planned freely, hot statements
// read whole tables for good: 17 to 38 ms to the device at 200 messages/s on a fresh PostgreSQL 15, against
// 3.6 ms with these settings (test/store/plan-stability.test.ts). Every statement here is written to be
// answered from indexes, row by row.
export const PLANNER = settings({
  enable_seqscan: 'off',
  enable_bitmapscan: 'off',
  enable_hashjoin: 'off',
  enable_mergejoin: 'off',
  jit: 'off',
  plan_cache_mode: 'force_generic_plan'
})

export interface Limits {
  /** The server has not answered at all. Ends the connection. */
  noAnswerMs: number
  /** A statement takes too long (SQLSTATE 57014). Does not hold for a commit that waits for a standby. */
  statementMs: number
  /** Somebody else holds a row for too long (SQLSTATE 55P03). */
  lockMs: number
}

/** Of requests and jobs. */
export const PATIENT: Limits = { noAnswerMs: 15_000, statementMs: 14_000, lockMs: 8_000 }
/**
 * Of what a sender or a connecting device waits for: they learn within 5 s that it cannot be done now. The
 * server gives up first, so that a slow database is told from one that is away.
 */
export const PROMPT: Limits = { noAnswerMs: 3_500, statementMs: 3_000, lockMs: 2_000 }

/**
 * A host that freezes within a transaction holds its rows for no longer than this; the server ends its
 * connection (SQLSTATE 25P03).
 */
const IDLE_IN_TRANSACTION_MS = 5_000
/** How soon the server notices that whoever waits for a statement is gone. */
const CLIENT_CHECK_MS = 1_000

export const limitsOf = ({ statementMs, lockMs }: Limits): string => settings({
  statement_timeout: statementMs,
  lock_timeout: lockMs,
  idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_MS,
  client_connection_check_interval: CLIENT_CHECK_MS
})

function settings (values: Record<string, string | number>): string {
  return Object.entries(values).map(([name, value]) => `set ${name} = ${value}`).join('; ')
}
