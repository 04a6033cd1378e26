/**
 * One batch: sends, acknowledgements and read receipts in one transaction. It is
 * decided by what is known and what is read without locks, and written and
 * committed in one round trip, if the database finds that what it was decided by
 * still holds. Otherwise, and with other nodes, a first round trip locks
 * conversations, then users, and reads. Then the listeners of the users with new
 * events are woken.
 *
 * Every counter is taken once per user, whatever the batch holds for them.
 */
import { DatabaseAway } from '../../core/errors.ts'
import { attachToMessages } from '../../store/attachments.ts'
import { type Database, type Executor, type Write } from '../../store/database.ts'
import { violates } from '../../store/database-errors.ts'
import {
  type AppendedEvent, appendNumbered, type CommittedEvent, numberEvents
} from '../../store/log/inbox.ts'
import { raiseMarks } from '../../store/log/receipts.ts'
import { type NewMessage, writeMessages, writeShown } from '../../store/log/sends.ts'
import { advanceCursors } from '../../store/people/device-sessions.ts'
import { cancelPushes, type DuePush, schedulePushes } from '../../store/push/due.ts'
import { notePushReads } from '../../store/push/reads.ts'
import { type WakeEvent } from '../deliver/wakes.ts'
import { batchesDecidedAgain, deliverySeconds, receiptsTotal } from '../metrics.ts'
import { cursorsOf, moveAcknowledged } from '../receipts/cursors.ts'
import { planDelivered, planRead, reachedBy, type ReceiptPlan } from '../receipts/marks.ts'
import { planSends, readKnown, type SendPlan } from '../send/plan.ts'
import { type SendOutcome } from '../send/queue.ts'
import {
  type Batch, type Context, furthestReads, type Known, MANY_MEMBERS, readContext, recallContext, type Recalled
} from './context.ts'
import { type ContextCache } from './context-cache.ts'
import { type Epochs } from './epochs.ts'
import { renderLive } from './render.ts'

const MAX_RACES = 5
/** A user who reads one conversation soon reads another: their devices are told of both at once. */
const TELL_READS_AFTER_MS = 3_000

/**
 * `certain` is false when other nodes could not be asked: users who are not in `present` may have a
 * session all the same.
 */
export interface KnownSessions { present: Set<string>, certain: boolean }

export interface BatchDeps {
  database: Database
  /** What batches before have left; undefined where others write the same rows all the time. */
  known: ContextCache | undefined
  epochs: Pick<Epochs, 'current' | 'committed'>
  /** Connections of one device may be on other nodes. */
  fenced: boolean
  /**
   * Which of these users have a tracked session? Asked before the commit, so that a crash after it loses
   * no push. Must not reject.
   */
  findSessions: (userIds: string[]) => Promise<KnownSessions>
  graceMs: number
  /** The time that all nodes go by, in milliseconds since 1970. */
  now: () => number
  /** Makes a push due for a user whose session went away unnoticed. */
  overdue: (due: DuePush) => void
  wake: (events: WakeEvent[]) => void
  /** Some push rows were written. */
  pushDue: () => void
  /** Messages were committed. */
  stored: (messages: NewMessage[]) => void
}

/** What is done once the batch has committed. */
interface Committed extends CommittedBatch {
  messages: NewMessage[]
  wakes: WakeEvent[]
  receipts: ReceiptPlan
  pushed: boolean
  /** One of its events. */
  evidence: CommittedEvent | undefined
  watched: Map<string, number>
}

export interface CommittedBatch {
  /** One per send, in order. */
  outcomes: SendOutcome[]
  /** Conversations with many members. */
  large: string[]
}

export interface CommitOptions {
  /** Called when the batch has what it needs, and is decided. */
  decided: () => void
  /** Whether it may be decided by what is known, or read without locks. */
  optimistic: boolean
  /** How long it waits for each lock, when that is less than usual. */
  lockTimeoutMs?: number
}

/** Throws when nothing of the batch was committed. */
export async function commitBatch (
  deps: BatchDeps, batch: Batch, { decided, optimistic, lockTimeoutMs }: CommitOptions
): Promise<CommittedBatch> {
  const { known, fenced } = deps
  const alsoConcerned = new Set<string>()
  let again = false
  for (let race = 1; ; race++) {
    try {
      let recalled =
        optimistic && race === 1 && known !== undefined ? await recallFor(batch, known) : undefined
      const { context, committed } = await deps.database.commit({
        lockTimeoutMs,
        async look (db) {
          const found = recalled
          recalled = undefined
          return found && await lookForContext(db, batch, found, known!)
        },
        async read (tx) {
          known?.forget(batch)
          known?.holdCrowds(batch)
          if (again) batchesDecidedAgain.inc()
          const reading = { lock: true, mayBeRepeated: () => true, fenced }
          const context =
            await readContext(tx, batch, recallContext(batch, NOTHING, alsoConcerned), reading)
          known?.hold(batch, context.users.keys())
          return context
        },
        async decide (context, tx) {
          again = true
          decided()
          const { writes, result: committed } = await decide(tx, deps, batch, context)
          return { writes, result: { context, committed } }
        }
      })
      known?.remember(batch, context, committed.receipts.marks.values())
      const { outcomes, large } = committed
      outcomes.forEach((outcome, i) => {
        const isRepeated = outcome !== undefined && 'repeated' in outcome && outcome.repeated
        if (isRepeated) known?.noteRepeating(batch.sends[i]!.senderId)
      })
      follow(deps, committed)
      return { outcomes, large }
    } catch (error) {
      known?.forget(batch)
      // Another server may answer next, and have lost commits.
      if (error instanceof DatabaseAway) known?.clear()
      // Another process stored one of the client_message_ids between our look and our insert: everything was
      // rolled back, the next look finds it. Likewise an attachment that was released meanwhile.
      if (error instanceof UsersMissing) for (const id of error.userIds) alsoConcerned.add(id)
      const raced = error instanceof AttachmentReleased || error instanceof UsersMissing ||
        violates(error, 'messages_client_message_id_unique')
      if (race === MAX_RACES || !raced) throw error
    }
  }
}

/** Waits once for a batch that has users of this one. Undefined when it has to be read under locks. */
async function recallFor (batch: Batch, known: ContextCache): Promise<Recalled | undefined> {
  // What is sent is attached before anything else is written.
  if (batch.sends.some(({ draft }) => (draft.attachment_ids?.length ?? 0) > 0)) return undefined
  for (let waited = false; ; waited = true) {
    const loan = known.lendTo(batch)
    const recalled = recallContext(batch, loan)
    const contestant = loan.contestant()
    if (contestant === undefined) return recalled
    known.giveBack(batch)
    if (waited || !await known.ended(contestant)) return undefined
  }
}

async function lookForContext (
  db: Executor, batch: Batch, recalled: Recalled, known: ContextCache
): Promise<Context | undefined> {
  const unknown = new Set(recalled.conversations)
  const context = await readContext(db, batch, recalled, {
    lock: false,
    // What is sent again after a crash or a long absence is for a conversation of which nothing is known.
    mayBeRepeated: ({ senderId, draft }) =>
      unknown.has(draft.conversation_id) || known.isRepeating(senderId),
    fenced: false
  })
  const loan = known.lendTo(batch)
  for (const id of context.read.users.keys()) loan.user(id)
  return loan.contestant() !== undefined || largeAmong(context.sends.members).length > 0 ? undefined : context
}

const NOTHING: Known = { conversation: () => undefined, user: () => undefined }

class AttachmentReleased extends Error {}

/** Senders who hear of a read after all: their conversation has become small since they were looked up. */
class UsersMissing extends Error {
  readonly userIds: string[]
  constructor (userIds: string[]) {
    super('users are concerned who are not locked')
    this.userIds = userIds
  }
}

async function decide (
  tx: Executor, deps: BatchDeps, batch: Batch, {
    conversations, users, asked, sends, marks, rising, acknowledgements
  }: Context
): Promise<{ writes: Write[], result: Committed }> {
  const missing = rising.flatMap(({ sender_user_id: id }) =>
    id === null || users.has(id) || asked.has(id) ? [] : [id])
  if (missing.length > 0) throw new UsersMissing(missing)
  const known = await readKnown(tx, sends)
  // Read under the lock, so that a message is not older than the participant it waited for.
  const at = new Date(deps.now())
  const epoch = deps.epochs.current()
  const plan = planSends(batch.sends, { conversations, known, epoch, ...sends }, at)
  const { present, certain } = await deps.findSessions([...new Set(plan.events.map(event => event.user_id))])
  const reached = moveAcknowledged(acknowledgements, users)
  const receipts = planDelivered(reachedBy(acknowledgements).values(), marks, at)
  planRead(rising, furthestReads(batch.reads), at, receipts)
  const events = numberEvents([...plan.events, ...receipts.events], users)

  const received = events.filter(event => event.type === 'new_message')
  const due =
    new Map(received.flatMap(({ user_id, seq }) => present.has(user_id) ? [] : [[user_id, seq] as const]))
  const watched =
    new Map(received.flatMap(({ user_id, seq }) => present.has(user_id) ? [[user_id, seq] as const] : []))
  // A user who may have a session gets the time to acknowledge, which cancels the push.
  const dueAt = certain ? at : new Date(at.getTime() + deps.graceMs)
  const moved = [...new Set([...reached, ...events.map(event => event.user_id)])].sort()
  const caughtUp = [...reached].filter(userId => users.get(userId)!.acked_seq >= users.get(userId)!.inbox_seq)
  const readers = [...new Set(rising.map(read => read.user_id))]
  await writeAttachments(tx, plan.views)

  const writes: Write[] = []
  if (plan.messages.length > 0) writes.push(tx => writeMessages(tx, plan.messages, conversations, at))
  if (moved.length > 0) {
    writes.push(tx => appendNumbered(tx, events, moved.map(userId => users.get(userId)!), at))
  }
  // Behind the users: what is not locked before is locked by these, in the order of store/locks.ts.
  if (plan.shown.size > 0) writes.push(tx => writeShown(tx, [...plan.shown.values()]))
  const raised = [...receipts.marks.values(), ...receipts.earlierMarks]
  if (raised.length > 0) writes.push(tx => raiseMarks(tx, raised, at))
  if (acknowledgements.length > 0) {
    writes.push(tx => advanceCursors(tx, cursorsOf(acknowledgements, users), at))
  }
  if (due.size > 0) {
    writes.push(tx => schedulePushes(tx, [...due].map(([userId, seq]) => ({ userId, seq, dueAt }))))
  }
  if (caughtUp.length > 0) writes.push(tx => cancelPushes(tx, caughtUp))
  if (readers.length > 0) {
    writes.push(tx => notePushReads(tx, readers, new Date(at.getTime() + TELL_READS_AFTER_MS)))
  }
  const wakes = events.map((event): WakeEvent => ({
    userId: event.user_id,
    seq: event.seq,
    body: bodyOf(event, plan, epoch),
    knownTo: event.type === 'message_sent' ? plan.answered.get(event.message_id!) : undefined
  }))
  const { outcomes, messages } = plan
  const large = largeAmong(sends.members)
  const last = events.at(-1)
  const evidence = last && { userId: last.user_id, seq: last.seq, at }
  const result = { outcomes, large, messages, wakes, receipts, pushed: due.size > 0, watched, evidence }
  return { writes, result }
}

const largeAmong = (members: Context['sends']['members']): string[] =>
  [...members].flatMap(([id, { size }]) => size > MANY_MEMBERS ? [id] : [])

/** After the users: attachments come last in the order of locks. */
async function writeAttachments (tx: Executor, views: SendPlan['views']): Promise<void> {
  const sent = views.flatMap(view =>
    view.attachments.map(({ id }, position) => ({ messageId: view.id, position, attachmentId: id })))
  if (sent.length > 0 && !await attachToMessages(tx, sent)) throw new AttachmentReleased()
}

function bodyOf (event: AppendedEvent, { bodies }: SendPlan, epoch: string): WakeEvent['body'] {
  const message = bodies.get(event.message_id!)
  if (message !== undefined && event.type === 'message_sent') return message.sent
  if (message !== undefined && event.type === 'new_message') return message.received
  return renderLive(epoch, event)
}

function follow (
  deps: BatchDeps, { messages, wakes, receipts, pushed, watched, evidence }: Committed
): void {
  if (evidence !== undefined) deps.epochs.committed(evidence)
  if (wakes.length > 0) deps.wake(wakes)
  deps.stored(messages)
  if (pushed) deps.pushDue()
  pushUnwatched(deps, watched).catch(() => {}) // neither step of it rejects
  const now = deps.now()
  for (const storedAt of receipts.storedAt) deliverySeconds.observe(Math.max(0, now - storedAt) / 1_000)
  receiptsTotal.inc({ type: 'delivered' }, receipts.storedAt.length)
  receiptsTotal.inc({ type: 'read' }, receipts.events.length - receipts.storedAt.length)
}

// A session that ended while its event was being committed did not know of it
// and could not report it; after the wake every session that is left does.
async function pushUnwatched (
  { findSessions, overdue, now }: BatchDeps, watched: Map<string, number>
): Promise<void> {
  if (watched.size === 0) return
  const { present, certain } = await findSessions([...watched.keys()])
  for (const [userId, seq] of certain ? watched : []) {
    if (!present.has(userId)) overdue({ userId, seq, dueAt: new Date(now()) })
  }
}
