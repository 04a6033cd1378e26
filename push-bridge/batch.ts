/**
 * One claimed batch from start to end: read, send, write down.
 *
 * What is to be told is read after the claim, so an acknowledgement in between
 * cancels. Until it is written down nothing is given up: a batch that stops
 * anywhere is claimed again when its lease has run out.
 */
import { LRUCache } from 'lru-cache'
import { setTimeout as pause } from 'node:timers/promises'
import { type Logger } from 'pino'
import { AppError, failureLevel } from '../core/errors.ts'
import { type Database } from '../store/database.ts'
import { postponePushes, settlePushes, type ClaimedPush } from '../store/push/due.ts'
import { pendingPushes, unreadBadges, type PendingPush, type PushDevice } from '../store/push/pending.ts'
import { forgetPushTokens, recordPushed } from '../store/push/told.ts'
import { retryDelayMs } from './pace/backoff.ts'
import { conclude, type Conclusion } from './conclusion.ts'
import { type Dispatch } from './dispatch.ts'
import { type Gate } from './pace/gate.ts'
import { cancelledPushes, removedTokens } from './metrics.ts'
import { planDevices } from './plan.ts'
import { renderPush, type PushPrivacy } from './render.ts'

const MAX_TOLD_AHEAD = 10_000
const RETRY_WRITE_MS = 500

export interface BatchDeps {
  database: Database
  dispatch: Dispatch
  gate: Gate
  privacy: PushPrivacy
  epoch: () => string
  log: Logger
  now: () => number
  random: () => number
  mergeMs: number
  expireAfterMs: number
  retryBaseMs: number
  /** Once aborted, what cannot be written down is left to the lease. */
  signal: AbortSignal
}

export interface Batch { claims: ClaimedPush[], leasedUntil: Date }

/** Returns the function that delivers a batch; it never rejects. */
export function createBatchDelivery (deps: BatchDeps): (batch: Batch) => Promise<void> {
  const { database, dispatch, gate, privacy, epoch, log, now, mergeMs, expireAfterMs } = deps
  const backoff = (attempts: number): number => retryDelayMs(attempts, deps.retryBaseMs, deps.random)

  // When the push of one conversation fails, the device's record cannot move past it, and so cannot say
  // that later ones were told. This remembers them; losing it costs a repeated push, so memory is enough.
  const toldAhead = new LRUCache<string, number>({ max: MAX_TOLD_AHEAD })
  const told = (device: PushDevice, pending: PendingPush): boolean =>
    (toldAhead.get(toldKey(device, pending)) ?? 0) >= pending.last_seq

  async function deliver ({ claims, leasedUntil }: Batch): Promise<void> {
    const at = new Date(now())
    const devices = await pendingPushes(database.autocommit, {
      userIds: claims.map(claim => claim.user_id),
      leasedUntil,
      now: at,
      expiresBefore: new Date(at.getTime() - expireAfterMs)
    })
    const plans = planDevices(devices, { now: at, mergeMs, told })
    const sending = plans.filter(plan => plan.send.length > 0)
    const badges =
      await unreadBadges(database.autocommit, [...new Set(sending.map(({ device }) => device.user_id))], at)
    const sends = sending.flatMap(({ device, send }) => send.map(pending => ({
      pending,
      push: renderPush(
        device, pending,
        { epoch: epoch(), now: at, expireAfterMs, privacy, badge: badges.get(device.user_id) ?? 0 }
      )
    })))
    const { results, believed } = await dispatch(sends.map(({ push }) => push))
    const byPending = new Map(sends.map(({ pending }, i) => [pending, results[i]!]))
    const conclusion = conclude(claims, plans, pending => byPending.get(pending)!, {
      now: new Date(now()), retryDelayMs: backoff, believed, closedUntil: gate.closedUntil()
    })
    for (const { device, pending } of conclusion.toldAhead) {
      toldAhead.set(toldKey(device, pending), pending.last_seq)
    }
    await write(conclusion, leasedUntil)
    removedTokens.inc(conclusion.gone.length)
    cancelledPushes.inc(claims.length - new Set(plans
      .filter(plan => plan.send.length > 0 || plan.heldUntil !== undefined)
      .map(({ device }) => device.user_id)).size)
    log.debug(
      { users: claims.length, pushes: sends.length, postponed: conclusion.postponed.length },
      'a batch of pushes is done'
    )
  }

  // One transaction that takes devices before push rows, like the acknowledgements.
  // Repeated until it works: what was sent must not be sent again.
  async function write ({ gone, records, settled, postponed }: Conclusion, leasedUntil: Date): Promise<void> {
    for (;;) {
      try {
        return await database.transact(async tx => {
          await forgetPushTokens(tx, gone)
          await recordPushed(tx, records)
          await settlePushes(tx, settled, leasedUntil)
          await postponePushes(tx, postponed, leasedUntil)
        })
      } catch (error) {
        if (!isUnavailable(error) || deps.signal.aborted) throw error
        log[failureLevel(error)](
          { err: error, users: settled.length + postponed.length },
          'what was pushed could not be written down and will be tried again'
        )
        await pause(RETRY_WRITE_MS, undefined, { signal: deps.signal })
      }
    }
  }

  // Something that only one of the users makes fail: chance in the delay takes them apart.
  async function giveBack ({ claims, leasedUntil }: Batch): Promise<void> {
    await postponePushes(database.autocommit, claims.map(({ user_id, attempts }) => ({
      user_id, due_at: new Date(now() + backoff(attempts)), attempts
    })), leasedUntil)
  }

  return async batch => {
    try {
      await deliver(batch)
    } catch (error) {
      const users = batch.claims.length
      if (isUnavailable(error) || deps.signal.aborted) {
        log[failureLevel(error)]({ err: error, users }, 'a batch of pushes is left until its lease ends')
        return
      }
      log.error({ err: error, users }, 'a batch of pushes failed and will be tried again')
      await giveBack(batch).catch((error: unknown) => {
        log[failureLevel(error)]({ err: error, users }, 'a batch of pushes is left until its lease ends')
      })
    }
  }
}

const isUnavailable = (error: unknown): boolean => error instanceof AppError && error.fault === 'unavailable'

// Neither a user id nor a conversation id has a space.
const toldKey = ({ user_id, device_id }: PushDevice, { conversation_id }: PendingPush): string =>
  `${user_id} ${conversation_id} ${device_id}`
