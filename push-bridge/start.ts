/**
 * The push bridge: how sleeping phones learn that something has come.
 *
 * A loop claims users who are due, a bounded number at a time, and hands them to
 * batches that run beside it. It is woken by a hint when rows were written in this
 * process and otherwise looks when the next row is due, or once a second. A claim is
 * a lease: rows of a bridge that died, or that lost its database, are claimed
 * again, by any bridge, when it has run out. Any number of bridges work side by side.
 */
import { type Logger } from 'pino'
import { failureLevel } from '../core/errors.ts'
import { withinMs } from '../core/deadline.ts'
import { type Database } from '../store/database.ts'
import { claimPushes, measureDue, nextDue } from '../store/push/due.ts'
import { requestRecovery } from '../store/push/recovery.ts'
import { createAlarm } from './pace/alarm.ts'
import { retryDelayMs } from './pace/backoff.ts'
import { createBatchDelivery } from './batch.ts'
import { createDispatch, type OnSent } from './dispatch.ts'
import { createGate, type PushHealth } from './pace/gate.ts'
import { dueRows, oldestDueSeconds } from './metrics.ts'
import { deliverReads } from './reads.ts'
import { runRecovery } from './recovery.ts'
import { type PushPrivacy } from './render.ts'
import { type PushSender } from './sender.ts'
import { createTrust } from './pace/trust.ts'

const MAX_DATABASE_BACKOFF_MS = 10_000
const MEASURE_EVERY_MS = 5_000
/** Silent pushes are looked for with the others; by themselves, too, for the case that those never pause. */
const POLLS_UNTIL_READS = 10

export interface PushBridgeOptions {
  /** After it a claimed row is free again; longer than sending and writing down takes. */
  leaseMs: number
  pollMs: number
  /** What comes within this time of a device's last push is merged. */
  mergeMs: number
  /** Older messages are pushed no more. */
  expireAfterMs: number
  /** The first retry; each further one doubles it, up to an hour. FCM asks for at least 10 s. */
  retryBaseMs: number
  /** Longer than the sender itself takes to give up. */
  sendTimeoutMs: number
  usersPerBatch: number
  batchesInFlight: number
  /** How long closing waits for what is in flight. */
  closeWithinMs: number
}

const DEFAULTS: PushBridgeOptions = {
  leaseMs: 60_000,
  pollMs: 1_000,
  mergeMs: 3_000,
  expireAfterMs: 24 * 3_600_000,
  retryBaseMs: 10_000,
  sendTimeoutMs: 30_000,
  usersPerBatch: 200,
  batchesInFlight: 4,
  closeWithinMs: 5_000
}

export interface PushBridgeDeps {
  database: Database
  epoch: () => string
  sender: PushSender
  log: Logger
  /** After a start, sessions that were open have this long to come back and acknowledge. */
  graceMs: number
  /** What the push services may know; by default what the phone shows. */
  privacy?: PushPrivacy
  /** Registers a callback for the hint that rows were written. */
  onPushDue?: (listener: () => void) => void
  onSent?: OnSent
  now?: () => number
  random?: () => number
  options?: Partial<PushBridgeOptions>
}

export interface PushBridge extends AsyncDisposable {
  /** Whether the push service takes what is due. */
  health (): PushHealth
}

/** Resolves when the loop runs. Closing stops claiming and waits, within bounds, for what is in flight. */
export async function startPushBridge ({
  database, epoch, sender, log, graceMs, privacy = 'preview', onPushDue, onSent, now = Date.now,
  random = Math.random, options
}: PushBridgeDeps): Promise<PushBridge> {
  const settings = { ...DEFAULTS, ...options }
  const closing = new AbortController()
  const giveUp = new AbortController()
  const alarm = createAlarm()
  const readsAlarm = createAlarm()
  const inFlight = new Set<Promise<void>>()
  let failures = 0

  await requestRecovery(database.autocommit, new Date(now() + graceMs))
  const gate = createGate({ now, random, log })
  const trust = createTrust(log)
  const dispatch = createDispatch({
    sender, gate, trust, sendTimeoutMs: settings.sendTimeoutMs, onSent, log
  })
  const deliver = createBatchDelivery({
    ...settings, database, dispatch, gate, privacy, epoch, log, now, random, signal: giveUp.signal
  })

  async function run (): Promise<void> {
    for (let hinted = true; !closing.signal.aborted;) hinted = await alarm.wait(await serve(hinted))
  }

  /**
   * Starts a batch if a user is due, and says when silent pushes are. Without a hint it looks before it
   * claims: there is nothing nearly always. Returns for how long there is nothing more to claim (ms).
   */
  async function serve (hinted: boolean): Promise<number> {
    // The end of a batch rings. Behind a closed gate one batch at a time looks whether it is open.
    if (inFlight.size >= (gate.closedUntil() === undefined ? settings.batchesInFlight : 1)) {
      return settings.pollMs
    }
    if (gate.waitMs() > 0) return Math.min(gate.waitMs(), settings.pollMs)
    try {
      const at = now()
      let claimed = hinted ? await claimBatch(at) : 0
      const { pushesAt, readsAt } = await nextDue(database.autocommit, new Date(at))
      failures = 0
      if (readsAt !== undefined && readsAt.getTime() <= at) readsAlarm.ring()
      const nextAt = pushesAt?.getTime() ?? Infinity
      if (nextAt > at) return Math.max(0, Math.min(settings.pollMs, nextAt - now()))
      claimed ||= await claimBatch(at)
      return claimed > 0 ? 0 : settings.pollMs
    } catch (error) {
      log[failureLevel(error)]({ err: error }, 'due pushes could not be claimed and will be tried again')
      return Math.min(MAX_DATABASE_BACKOFF_MS, retryDelayMs(++failures, settings.pollMs, random))
    }
  }

  async function claimBatch (at: number): Promise<number> {
    const leasedUntil = new Date(at + settings.leaseMs)
    const claims = await claimPushes(database.autocommit, new Date(at), leasedUntil, settings.usersPerBatch)
    if (claims.length > 0) {
      const batch: Promise<void> =
        deliver({ claims, leasedUntil }).finally(() => { inFlight.delete(batch); alarm.ring() })
      inFlight.add(batch)
    }
    return claims.length
  }

  // Beside the pushes that wake, one batch at a time: no user waits for silent ones.
  async function runReads (): Promise<void> {
    while (!closing.signal.aborted) {
      try {
        const context = { ...settings, database, dispatch, gate, epoch: epoch(), log, now, random }
        if (gate.waitMs() === 0 && await deliverReads(context) > 0) continue
      } catch (error) {
        log[failureLevel(error)](
          { err: error },
          'a batch of silent pushes failed; what it had claimed is tried again when its lease ends'
        )
      }
      await readsAlarm.wait(settings.pollMs * POLLS_UNTIL_READS)
    }
  }

  async function measure (): Promise<void> {
    const { rows, oldestAt } = await measureDue(database.autocommit, new Date(now()))
    dueRows.set(rows)
    oldestDueSeconds.set(oldestAt === undefined ? 0 : (now() - oldestAt.getTime()) / 1_000)
  }

  const running = run()
  const runningReads = runReads()
  const recovering = runRecovery({
    ...settings, database, pushDue: () => alarm.ring(), now, log, signal: closing.signal
  })
  const measuring = setInterval(() => {
    measure().catch(
      (error: unknown) => { log.debug({ err: error }, 'due pushes could not be counted') }
    )
  }, MEASURE_EVERY_MS)
  onPushDue?.(() => alarm.ring())

  return {
    health () {
      if (trust.suspicious()) {
        return {
          ok: false,
          detail: 'every push token is said to be gone: are the credentials those of the app\'s project?'
        }
      }
      return gate.health()
    },
    async [Symbol.asyncDispose] () {
      clearInterval(measuring)
      closing.abort()
      alarm.ring()
      readsAlarm.ring()
      await running
      const finished =
        await withinMs(settings.closeWithinMs, Promise.all([runningReads, recovering, ...inFlight]))
      if (finished === undefined) giveUp.abort()
    }
  }
}
