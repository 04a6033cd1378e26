/**
 * The committer: the one place of a process where sends, acknowledgements and
 * read receipts wait.
 *
 * Whatever waits when a batch has committed is the next batch, so batches grow
 * with the load, and an idle server commits a lone message at once. Beside a small
 * batch, and with other nodes beside any that has its locks, the next one begins
 * before that; it leaves out the conversations of the one before, so their order
 * does not depend on which of the two succeeds.
 *
 * Nothing but a sender's tick depends on acknowledgements. They are collected for
 * LINGER_MS and committed beside the sends, so that no message waits for the work
 * they make; those on which no tick depends wait for up to IDLE_LINGER_MS. A large
 * batch of sends takes them along: it writes most of the same rows.
 *
 * Messages to many members have a batch in flight of their own, so that nobody else
 * waits for a thousand rows. A conversation changes over to it between two batches.
 *
 * A batch that takes the database too long is tried in pieces, which wait less for
 * their locks: a row that a frozen host holds fails only those who need it.
 */
import { type Logger } from 'pino'
import { failureLevel } from '../../core/errors.ts'
import { flushDevices, flushSeconds, sendBatchMessages, sendCommitSeconds } from '../metrics.ts'
import {
  type Acknowledgement, acknowledgeInPieces, createAcknowledgementQueue
} from '../receipts/acknowledgements.ts'
import { createReadReceipts, type PreparedRead, type ReadReceipts } from '../receipts/read-receipts.ts'
import {
  createSendQueue, enqueue, type Send, type SendQueue, type SendResult
} from '../send/queue.ts'
import { createSendOrder, type SendOrder } from '../send/order.ts'
import { createSendTrace } from '../send/trace.ts'
import { type WakeEvent } from '../deliver/wakes.ts'
import { type BatchDeps, commitBatch, type CommitOptions } from './batch.ts'
import { createContextCache } from './context-cache.ts'
import { commitInHalves } from '../halves.ts'
import {
  acknowledgementItem, answer, batchOf, type Item, type Outcome, readItem, sendItem, type WaitingRead
} from './items.ts'

const LINGER_MS = 20
const IDLE_LINGER_MS = 500
/** How long acknowledgements that could not be written wait, unless another batch takes them along. */
const RETRY_MS = 500
const MAX_READS = 500
/** Batches of sends in flight: while one commits, the next one is decided. */
const MAX_SENDING = 2
/** A batch of so many sends takes acknowledgements along. */
const LARGE_BATCH = 8
/** Unless they are more than so many for each send: a group's message brings a crowd of them. */
const MAX_ALONG = 4
const MAX_LARGE = 10_000
/** The one in flight, the next, and one more for a crowd. */
const MAX_SETTLING_BATCHES = 3
/** Of a piece of a batch: ten of them find the one that cannot be written. */
const PIECE_LOCK_TIMEOUT_MS = 200

export interface Sends {
  /**
   * Resolves when the message is committed. Throws `invalid`, `not_found`, `forbidden` or
   * `conflict` when it is refused for good and `unavailable` when it may be tried again.
   */
  send (send: Send): Promise<SendResult>
  waiting (): number
}

export interface Acknowledgements {
  /** Notes what a device has; written with the next batch, kept until it is. */
  add (acknowledgement: Acknowledgement): void
  /** Acknowledges by request. Resolves when committed; throws `unavailable` when the database is away. */
  apply (acknowledgement: Omit<Acknowledgement, 'deliveries'>): Promise<void>
  /** Resolves when everything noted so far for this user is written, or could not be for now. */
  settled (userId: string): Promise<void>
  /** Devices with something to be written. */
  waiting (): number
}

export interface Committer extends AsyncDisposable {
  sends: Sends
  acknowledgements: Acknowledgements
  readReceipts: Pick<ReadReceipts, 'read'>
  /** Others in this process have committed these events. */
  appended (events: WakeEvent[]): void
}

/** A batch in flight, and whose turn has to wait for its end. */
interface Sending { batch: Promise<void>, conversations: ReadonlySet<string> }

/** Leaves out sends that must not be stored, because of one before them. */
async function commitInOrder (
  items: Item[], order: SendOrder, commit: (items: Item[]) => Promise<Outcome[]>
): Promise<Outcome[]> {
  const refusals = items.map(item => item.kind === 'send' ? order.refusal(item.entry) : undefined)
  const tried = items.filter((_, i) => refusals[i] === undefined)
  const outcomes = tried.length === 0 ? [] : await commit(tried)
  let next = 0
  return refusals.map(refusal => refusal ?? outcomes[next++])
}

export function startCommitter (
  { log, ...given }: Omit<BatchDeps, 'known'> & { log: Logger }
): Committer {
  const { database } = given
  const known = given.fenced ? undefined : createContextCache()
  const deps = { known, ...given }
  const trace = createSendTrace(log)
  const sends = createSendQueue(schedule)
  const toMany = createSendQueue(schedule)
  const large = new Set<string>() // conversations whose sends wait in toMany
  const acknowledgements = createAcknowledgementQueue()
  const reads: WaitingRead[] = []
  const readReceipts = createReadReceipts({ db: database.autocommit, commit: commitRead })
  let sending: Sending[] = [] // the batches in flight with sends and reads
  let locking: Promise<void> | undefined // the one before whose commit, or whose locks, no other begins
  let sendingToMany: Promise<void> | undefined // the one with messages to many members
  let acknowledging: Promise<void> | undefined // the one with acknowledgements; it may be the first
  let committing = new Set<string>() // users whose acknowledgements are in flight
  let scheduled = false
  let timer: NodeJS.Timeout | undefined
  let idleTimer: NodeJS.Timeout | undefined
  let delayMs = LINGER_MS
  let all = false // the next batch with acknowledgements takes every one
  let closed = false

  if (known !== undefined) database.onOtherServer(known.clear)

  const toSend = (): boolean =>
    locking === undefined && sending.length < MAX_SENDING && (sends.size() > 0 || reads.length > 0)
  const isInFlight = (conversationId: string): boolean =>
    sending.some(({ conversations }) => conversations.has(conversationId))
  const toSendToMany = (): boolean => sendingToMany === undefined && toMany.size() > 0
  const toAcknowledge = (): boolean => acknowledging === undefined &&
    (acknowledgements.urgent() || (acknowledgements.full() && delayMs < RETRY_MS) ||
      (all && acknowledgements.size() > 0))

  // Once per turn of the event loop: everything that was read from the sockets in this turn shares a batch.
  function schedule (): void {
    if (closed) return
    const idleSince = idleTimer === undefined ? acknowledgements.oldest() : undefined
    if (idleSince !== undefined) {
      const idleMs = performance.now() - idleSince
      idleTimer = setTimeout(acknowledgeAll, Math.max(IDLE_LINGER_MS - idleMs, delayMs))
    }
    if (acknowledgements.awaited()) timer ??= setTimeout(beginAcknowledging, delayMs)
    if (scheduled || !(toSend() || toSendToMany() || toAcknowledge())) return
    scheduled = true
    setImmediate(() => {
      scheduled = false
      if (toSend()) beginSending()
      if (toSendToMany()) sendingToMany = run(toMany.take().map(sendItem), { optimistic: false })
      if (toAcknowledge()) beginAcknowledging()
    })
  }

  function beginSending (): void {
    const along = acknowledging === undefined && sends.size() >= LARGE_BATCH &&
      acknowledgements.size() <= sends.size() * MAX_ALONG
    const items: Item[] = [
      ...sends.take(isInFlight).map(sendItem),
      ...reads.splice(0, MAX_READS).map(readItem),
      ...(along ? takeAcknowledgements() : [])
    ]
    if (items.length === 0) return
    const conversations = new Set(items.flatMap(item =>
      item.kind === 'send' ? [item.entry.draft.conversation_id] : []))
    const batch = run(items, {
      decided () {
        if (locking !== batch || (items.length >= LARGE_BATCH && !deps.fenced)) return
        locking = undefined
        schedule()
      }
    }).finally(() => {
      sending = sending.filter(one => one.batch !== batch)
      if (locking === batch) locking = undefined
      if (acknowledging === batch) endAcknowledging()
      schedule()
    })
    locking = batch
    sending = [...sending, { batch, conversations }]
    if (along) acknowledging = batch
  }

  function beginAcknowledging (): void {
    clearTimeout(timer)
    timer = undefined
    if (acknowledging !== undefined) return
    const items = takeAcknowledgements()
    if (items.length > 0) acknowledging = run(items)
  }

  function acknowledgeAll (): void {
    clearTimeout(idleTimer)
    idleTimer = undefined
    all = acknowledgements.size() > 0
    if (all) beginAcknowledging()
  }

  function takeAcknowledgements (): Item[] {
    const taken = acknowledgements.take(all)
    all = false
    committing = new Set(taken.map(entry => entry.userId))
    return taken.map(acknowledgementItem)
  }

  function endAcknowledging (): void {
    acknowledging = undefined
    committing = new Set()
  }

  function run (
    items: Item[], { decided = () => {}, optimistic = true }: Partial<CommitOptions> = {}
  ): Promise<void> {
    const found = new Set<string>()
    const order = createSendOrder()
    const batch = commitInHalves(items, {
      commit: (some, piece) => commitInOrder(some, order, tried =>
        commit(tried, found, piece
          ? { decided, optimistic: false, lockTimeoutMs: PIECE_LOCK_TIMEOUT_MS }
          : { decided, optimistic })),
      failed (some, error) {
        for (const item of some) if (item.kind === 'send') order.failed(item.entry, error)
      }
    }).then(outcomes => {
      follow(items, outcomes, order)
      changeOver(found)
    }).finally(() => {
      if (sendingToMany === batch) sendingToMany = undefined
      if (acknowledging === batch) endAcknowledging()
      schedule()
    })
    return batch
  }

  async function commit (
    items: Item[], found: Set<string>, options: CommitOptions
  ): Promise<Outcome[]> {
    const startedAt = performance.now()
    const batch = batchOf(items)
    const { outcomes, large } = await commitBatch(deps, batch, options)
    for (const id of large) found.add(id)
    const seconds = (performance.now() - startedAt) / 1_000
    if (batch.sends.length > 0) {
      sendCommitSeconds.observe(seconds)
      sendBatchMessages.observe(batch.sends.length)
      outcomes.forEach((outcome, i) => trace.committed(batch.sends[i]!, outcome))
    }
    if (batch.acknowledgements.length > 0) {
      flushSeconds.observe(seconds)
      flushDevices.observe(batch.acknowledgements.length)
    }
    let sent = 0
    return items.map(item => item.kind === 'send' ? outcomes[sent++] : undefined)
  }

  function follow (items: Item[], outcomes: Outcome[], order: SendOrder): void {
    const { postponed, kept, away } = answer(items, outcomes, log)
    for (const send of postponed.toReversed()) queueOf(send.draft.conversation_id).putBack([send])
    const now = performance.now()
    for (const queue of [sends, toMany]) queue.fail(send => order.giveUp(send, now))
    acknowledgements.putBack(kept)
    if (items.some(({ kind }) => kind === 'acknowledgement')) {
      delayMs = away === undefined ? LINGER_MS : RETRY_MS
    }
    if (away !== undefined) {
      log[failureLevel(away)]({
        err: away, waiting: acknowledgements.size()
      }, 'acknowledgements could not be written and will be tried again')
    }
  }

  const queueOf = (conversationId: string): SendQueue => large.has(conversationId) ? toMany : sends

  // Of what the batch found nothing is in flight: it is over, and the one beside it has left these out.
  function changeOver (found: Set<string>): void {
    if (large.size > MAX_LARGE && toMany.size() === 0 && sendingToMany === undefined) large.clear()
    for (const id of found) {
      if (large.has(id)) continue
      large.add(id)
      toMany.putBack(sends.takeOf(id))
    }
  }

  function acknowledge (acknowledgement: Acknowledgement): Promise<void> {
    return new Promise((resolve, reject) => {
      acknowledgements.add(acknowledgement, { resolve, reject })
      schedule()
    })
  }

  function commitRead (prepared: PreparedRead): Promise<void> {
    return new Promise((resolve, reject) => {
      reads.push({ prepared, resolve, reject })
      schedule()
    })
  }

  async function settled (userId: string): Promise<void> {
    const concerned = (): boolean => committing.has(userId) || acknowledgements.concerns(userId)
    for (let batches = 0; batches < MAX_SETTLING_BATCHES && concerned(); batches++) {
      all = true
      beginAcknowledging()
      await acknowledging
    }
  }

  /** Nothing is in flight, and nothing waits but acknowledgements that linger. */
  async function drained (): Promise<void> {
    await new Promise(resolve => setImmediate(resolve))
    const batches = [...sending.map(({ batch }) => batch), sendingToMany, acknowledging]
      .filter(batch => batch !== undefined)
    if (!scheduled && batches.length === 0) return
    await Promise.all(batches)
    await drained()
  }

  return {
    sends: {
      async send (send) {
        trace.cameIn(send)
        try {
          const result = await enqueue(send, queueOf)
          trace.ended(send, result)
          return result
        } catch (error) {
          trace.ended(send, error as Error)
          throw error
        }
      },
      waiting: () => sends.size() + toMany.size()
    },
    acknowledgements: {
      add (acknowledgement) {
        acknowledgements.add(acknowledgement)
        schedule()
      },
      apply: acknowledgement => acknowledgeInPieces(database.autocommit, acknowledgement, acknowledge),
      settled,
      waiting: () => acknowledgements.size() + committing.size
    },
    readReceipts,
    appended: events => known?.appended(events),
    async [Symbol.asyncDispose] () {
      await readReceipts.drained()
      await drained()
      closed = true
      // Acknowledgements that are left get one attempt: their devices have them again after a failure.
      for (let before = Infinity; acknowledgements.size() < before;) {
        before = acknowledgements.size()
        acknowledgeAll()
        await drained()
      }
      clearTimeout(timer)
      clearTimeout(idleTimer)
    }
  }
}
