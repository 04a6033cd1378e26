/**
 * Revocation: a user's tokens issued so far count no more, and connections that
 * hold one end on every node within two seconds.
 *
 * A notice tells the other nodes at once. The row is what counts: every node
 * that knows users asks each second for the revocations of the last moments, so
 * a lost notice, and a CONNECT that was let in while one was on its way, cost a second.
 */
import { type Logger } from 'pino'
import { AppError, failureLevel } from '../../core/errors.ts'
import { isRevoked } from '../../core/identity.ts'
import { writeAudit } from '../../store/audit-log.ts'
import { type Database } from '../../store/database.ts'
import { recentRevocations, revokeTokens, type Revocation } from '../../store/people/revocations.ts'
import { type Authentication } from './authentication.ts'
import { type Cluster } from '../cluster/cluster.ts'
import { type Connections } from '../deliver/connections.ts'

const POLL_MS = 1_000
/** Longer than a verified token is trusted without a look at the row, and than a transaction takes. */
const OVERLAP_MS = 10_000

export interface Revocations extends AsyncDisposable {
  /** Throws `not_found` for an unknown user. */
  revoke (actorId: string, userId: string): Promise<void>
  /** Tells every node of a revocation that is committed. */
  announce (revocation: Revocation): void
  /** Ends the connections of this node that hold a revoked token. */
  apply (revocation: Revocation): void
}

export interface RevocationsDeps {
  database: Database
  authentication: Authentication
  connections: Connections
  cluster: Pick<Cluster, 'revoked'>
  log: Logger
}

export function startRevocations (
  { database, authentication, connections, cluster, log }: RevocationsDeps
): Revocations {
  let polledAt = performance.now()
  let polling: Promise<void> | undefined
  let failing = false

  function apply ({ userId, validAfter }: Revocation): void {
    authentication.forget(userId)
    for (const connection of [...connections.of(userId)]) {
      if (isRevoked(connection.identity, validAfter)) connection.disconnect('its token was revoked', 'token')
    }
  }

  // Looks back to before the last look that worked, however long ago that is.
  async function poll (): Promise<void> {
    const startedAt = performance.now()
    if (connections.users() === 0 && authentication.remembered() === 0) {
      polledAt = startedAt
      return
    }
    try {
      const revocations =
        await recentRevocations(database.autocommit, (startedAt - polledAt + OVERLAP_MS) / 1000)
      polledAt = startedAt
      failing = false
      revocations.forEach(apply)
      authentication.heardUntil(startedAt)
    } catch (error) {
      if (!failing) {
        log[failureLevel(error)](
          { err: error }, 'revocations cannot be read and are tried again every second'
        )
      }
      failing = true
    }
  }

  const timer = setInterval(() => { polling ??= poll().finally(() => { polling = undefined }) }, POLL_MS)

  function announce (revocation: Revocation): void {
    apply(revocation)
    cluster.revoked(revocation)
  }

  return {
    apply,
    announce,
    async revoke (actorId, userId) {
      const revocation = await database.transact(async tx => {
        const revoked = await revokeTokens(tx, userId)
        if (revoked === undefined) throw new AppError('not_found', 'user_not_found', 'there is no such user')
        await writeAudit(tx, { actorId, action: 'revoke_tokens', subjectId: userId })
        return revoked
      })
      announce(revocation)
    },
    async [Symbol.asyncDispose] () {
      clearInterval(timer)
      await polling
    }
  }
}
