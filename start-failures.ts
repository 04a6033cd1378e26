/** Why a command did not start, in a line for the person who typed it. */
import { databaseError, distrust, wrongUrl } from './store/database-errors.ts'

/** By SQLSTATE: what to do about what the server says. */
const REMEDIES: Record<string, string> = {
  '28P01': 'the password in it is wrong, or the user does not exist',
  28000: 'the server does not let this user in',
  '3D000': 'create the database, then run `npm run migrate`',
  42501: 'to migrate, the user must be allowed to create schemas and the extension btree_gin in the database'
}
/** Names of errors that are thrown for people to read; others are bugs. */
const EXPECTED = new Set(['Error', 'ConfigError', 'AppError'])
const NO_EXTENSION = /extension.*btree_gin/

const UNDEFINED_TABLE = '42P01'
/** Only a migration ends with these: a start waits for the database, and for Redis. */
const CONNECTING = ['connect', 'getaddrinfo']

/**
 * What the server says is told in its own words, whatever wraps them, and comes with the variable. Otherwise
 * the outermost error knows best what was tried. A bug keeps its stack.
 */
export function reasonOf (error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  // What was tried at several addresses fails with an error for each.
  if (error instanceof AggregateError) return reasonOf(error.errors[0])
  const wrong = wrongUrl(error) ?? distrust(error)
  if (wrong !== undefined) return wrong.message
  const refusal = databaseError(error)
  // Of a missing table, readEpoch says what it means.
  if (refusal !== undefined && refusal.code !== UNDEFINED_TABLE) {
    const remedy = NO_EXTENSION.test(refusal.message)
      ? 'Echo needs btree_gin, which comes with the contrib modules of PostgreSQL'
      : REMEDIES[refusal.code ?? '']
    return `DATABASE_URL: ${refusal.message}${remedy === undefined ? '' : ` (${remedy})`}`
  }
  if (CONNECTING.includes((error as NodeJS.ErrnoException).syscall ?? '')) {
    return `DATABASE_URL: ${error.message}`
  }
  return EXPECTED.has(error.name) ? error.message : error.stack ?? error.message
}
