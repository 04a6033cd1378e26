/**
 * Erasing a user. The request is one transaction: it sets a durable mark, revokes the
 * tokens and writes to the audit log. The rest is done in pieces by the first process that
 * claims it. After a crash another one goes on from the last piece: every process looks for
 * the mark when it starts, each second while it knows of an erasure, and every five otherwise.
 *
 * After the first step (leaving all conversations) a process waits until every node has
 * heard of it and what was under way has ended.
 *
 * What is kept outside PostgreSQL (the step `retained`) is forgotten by a process that holds it or reaches
 * it, and without a transaction. Until then the erasure is put off, so that another process tries if this
 * one dies.
 */
import { type Logger } from 'pino'
import { withinMs } from '../../core/deadline.ts'
import { AppError, failureLevel, unavailable } from '../../core/errors.ts'
import { writeAudit } from '../../store/audit-log.ts'
import { type Database } from '../../store/database.ts'
import {
  beginErasure, claimErasure, type ErasureStep, findErasure, postponeErasure, type Erasure
} from '../../store/erasure/erasures.ts'
import { revokeTokens } from '../../store/people/revocations.ts'
import { doPiece, endStep } from './erasure-steps.ts'
import { type Revocations } from '../access/revocations.ts'
import { type WakeEvent } from '../deliver/wakes.ts'

const POLL_MS = 1_000
/** One look of so many is taken although no erasure is known. */
const FULL_POLL = 5
/** For so long after there was something to do. Longer than an erasure is put off. */
const ACTIVE_MS = 60_000
/** Between two pieces, so that other work comes in. */
const PAUSE_MS = 20
/** Longer than a revocation takes to reach every connection, and a connection's end to be written down. */
const SETTLE_MS = 3_000
const RETRY_MS = 30_000
const FORGET_WITHIN_MS = 20_000

export interface Erasures extends AsyncDisposable {
  /** Throws `not_found` for an unknown user. An erasure that is running goes on. */
  request (actorId: string, userId: string): Promise<Erasure>
  /** The latest erasure of the user. Throws `not_found` when there was none. */
  find (userId: string): Promise<Erasure>
  /** Who forgets what is kept of a user outside the database. What rejects is tried again. */
  onErasing (forget: Forget): void
}

export type Forget = (userId: string) => Promise<void>

export interface ErasuresDeps {
  database: Database
  epoch: () => string
  wake: (events: WakeEvent[]) => void
  revocations: Pick<Revocations, 'announce'>
  log: Logger
  settleMs?: number
  /** No other process keeps anything outside the database. */
  alone: boolean
  now: () => number
}

export function startErasures (
  { database, epoch, wake, revocations, log, settleMs = SETTLE_MS, alone, now }: ErasuresDeps
): Erasures {
  const forgetting: Forget[] = []
  let polls = 0
  let activeUntil = -Infinity
  let running: Promise<void> | undefined
  const stopping = new AbortController()

  /** False when there is nothing to do now. */
  async function piece (): Promise<boolean> {
    let claimed: Erasure | undefined
    const notFor: ErasureStep[] = alone || forgetting.length > 0 ? [] : ['retained']
    try {
      // Nearly always in vain: a look by itself spares the transaction.
      if (await claimErasure(database.autocommit, notFor) === undefined) return false
      stayActive()
      const wakes = await database.transact(async tx => {
        claimed = await claimErasure(tx, notFor)
        if (claimed === undefined) return undefined
        const settledAt = new Date(claimed.requested_at.getTime() + settleMs)
        if (claimed.step !== 'leave' && settledAt.getTime() > now()) {
          await postponeErasure(tx, claimed.user_id, settledAt)
          return []
        }
        const { step } = claimed
        if (step !== 'retained') {
          return await doPiece(tx, { ...claimed, step }, { epoch: epoch(), at: new Date(now()) })
        }
        await postponeErasure(tx, claimed.user_id, new Date(now() + RETRY_MS))
        return []
      })
      if (claimed?.step === 'retained') await forget(claimed)
      if (wakes !== undefined && wakes.length > 0) wake(wakes)
      return wakes !== undefined
    } catch (error) {
      if (claimed === undefined) {
        // There may be none at all: nothing was found out.
        const level = error instanceof AppError && error.transient ? 'debug' : 'error'
        log[level]({ err: error }, 'whether an erasure is due could not be found out; it is asked again')
      } else if (error instanceof AppError && error.transient) {
        log[failureLevel(error)]({ err: error }, 'an erasure cannot go on now and is tried again')
      } else {
        log.error(
          { err: error, user_id: claimed.user_id, step: claimed.step }, 'an erasure failed and is tried again'
        )
        // One that cannot be postponed is tried again at the next look.
        const retryAt = new Date(now() + RETRY_MS)
        await postponeErasure(database.autocommit, claimed.user_id, retryAt).catch(() => {})
      }
      return false
    }
  }

  async function forget (erasure: Erasure): Promise<void> {
    const forgotten = Promise.all(forgetting.map(forget => forget(erasure.user_id)))
    if (await withinMs(FORGET_WITHIN_MS, forgotten) === undefined) {
      throw unavailable('what is kept outside the database does not answer')
    }
    await database.transact(async tx => {
      await endStep(tx, erasure)
      await postponeErasure(tx, erasure.user_id, new Date(now()))
    })
  }

  async function run (): Promise<void> {
    while (!stopping.signal.aborted && await piece()) {
      await new Promise(resolve => setTimeout(resolve, PAUSE_MS))
    }
  }

  const stayActive = (): void => { activeUntil = performance.now() + ACTIVE_MS }
  const look = (): void => { running ??= run().finally(() => { running = undefined }) }
  look()
  const timer = setInterval(() => {
    if (++polls % FULL_POLL === 0 || performance.now() < activeUntil) look()
  }, POLL_MS)

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
      stayActive()
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
    onErasing (forget) { forgetting.push(forget) },
    async [Symbol.asyncDispose] () {
      stopping.abort()
      clearInterval(timer)
      await running
    }
  }
}
