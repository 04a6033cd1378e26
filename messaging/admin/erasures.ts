/**
 * Erasing a user. The request is one transaction: it sets a durable mark, revokes the
 * tokens and writes to the audit log. The rest is done in pieces by the first process that
 * claims it. After a crash another one goes on from the last piece: every process looks for
 * the mark when it starts and each second.
 *
 * After the first step (leaving all conversations) a process waits until every node has
 * heard of it and what was under way has ended.
 */
import { type Logger } from 'pino'
import { AppError } from '../../core/errors.ts'
import { writeAudit } from '../../store/audit-log.ts'
import { type Database } from '../../store/database.ts'
import {
  beginErasure, claimErasure, findErasure, postponeErasure, type Erasure
} from '../../store/erasure/erasures.ts'
import { revokeTokens } from '../../store/people/revocations.ts'
import { doPiece } from './erasure-steps.ts'
import { type Revocations } from '../access/revocations.ts'
import { type WakeEvent } from '../deliver/wakes.ts'

const POLL_MS = 1_000
/** Between two pieces, so that other work comes in. */
const PAUSE_MS = 20
/** Longer than a revocation takes to reach every connection, and a connection's end to be written down. */
const SETTLE_MS = 3_000
const RETRY_MS = 30_000

export interface Erasures extends AsyncDisposable {
  /** Throws `not_found` for an unknown user. An erasure that is running goes on. */
  request (actorId: string, userId: string): Promise<Erasure>
  /** The latest erasure of the user. Throws `not_found` when there was none. */
  find (userId: string): Promise<Erasure>
}

export interface ErasuresDeps {
  database: Database
  epoch: string
  wake: (events: WakeEvent[]) => void
  revocations: Pick<Revocations, 'announce'>
  log: Logger
  settleMs?: number
  now: () => number
}

export function startErasures (
  { database, epoch, wake, revocations, log, settleMs = SETTLE_MS, now }: ErasuresDeps
): Erasures {
  let running: Promise<void> | undefined
  const stopping = new AbortController()

  /** False when there is nothing to do now. */
  async function piece (): Promise<boolean> {
    let claimed: Erasure | undefined
    try {
      const wakes = await database.transact(async tx => {
        claimed = await claimErasure(tx)
        if (claimed === undefined) return undefined
        const settledAt = new Date(claimed.requested_at.getTime() + settleMs)
        if (claimed.step !== 'leave' && settledAt.getTime() > now()) {
          await postponeErasure(tx, claimed.user_id, settledAt)
          return []
        }
        return await doPiece(tx, claimed, { epoch, at: new Date(now()) })
      })
      if (wakes !== undefined && wakes.length > 0) wake(wakes)
      return wakes !== undefined
    } catch (error) {
      if (error instanceof AppError && error.transient) {
        log.warn({ err: error }, 'an erasure cannot go on now and is tried again')
      } else {
        log.error(
          { err: error, user_id: claimed?.user_id, step: claimed?.step },
          'an erasure failed and is tried again'
        )
        // One that could not be claimed, or not postponed, is tried again at the next look.
        if (claimed !== undefined) {
          const retryAt = new Date(now() + RETRY_MS)
          await postponeErasure(database.autocommit, claimed.user_id, retryAt).catch(() => {})
        }
      }
      return false
    }
  }

  async function run (): Promise<void> {
    while (!stopping.signal.aborted && await piece()) {
      await new Promise(resolve => setTimeout(resolve, PAUSE_MS))
    }
  }

  const look = (): void => { running ??= run().finally(() => { running = undefined }) }
  look()
  const timer = setInterval(look, POLL_MS)

  return {
    async request (actorId, userId) {
      const { erasure, revocation } = await database.transact(async tx => {
        const erasure = await beginErasure(tx, userId, actorId)
        const revocation = await revokeTokens(tx, userId, 'every')
        if (revocation === undefined) {
          throw new AppError('not_found', 'user_not_found', 'there is no such user')
        }
        await writeAudit(tx, { actorId, action: 'erase', subjectId: userId })
        return { erasure, revocation }
      })
      revocations.announce(revocation)
      look()
      return erasure
    },
    async find (userId) {
      const erasure = await findErasure(database.autocommit, userId)
      if (erasure === undefined) {
        throw new AppError('not_found', 'erasure_not_found', 'this user was never erased')
      }
      return erasure
    },
    async [Symbol.asyncDispose] () {
      stopping.abort()
      clearInterval(timer)
      await running
    }
  }
}
