/**
 * The pieces of an erasure, each bounded and a transaction of its own, so that
 * the erasure of a user with a million messages delays no other user.
 *
 *   leave      they leave every conversation: from here on nothing reaches them, and they send nothing
 *   messages   conversation by conversation, what they said becomes tombstones
 *   receipts   when they had and read what others said; that they did is the status of the others' messages
 *   reactions  what they reacted with is taken back
 *   mentions   others' messages no longer say that they mean this user; the words are the others'
 *   retained   what they left on topics granted by `acl` (erasures.ts: not in a transaction)
 *   inbox      their log is cut
 *   rest       devices, blocks, uploads, name; the end
 *
 * Each step begins where `at_id` and `at_seq` say, and what is already gone is no harm.
 */
import { releaseAttachments } from '../../store/attachments.ts'
import { writeAudit } from '../../store/audit-log.ts'
import { type Executor } from '../../store/database.ts'
import {
  blankUser, cutInbox, eraseRest, forgetClientIds, messagesOf, nextFormer, presentIn, reactedMessages,
  readAudiences, takeReactions
} from '../../store/erasure/erased-data.ts'
import {
  forgetReceipts, messagesMentioning, takeEarlierMentions, takeMentions
} from '../../store/erasure/erased-traces.ts'
import {
  type Erasure, finishErasure, NIL, saveProgress, type ErasurePosition, type ErasureStep
} from '../../store/erasure/erasures.ts'
import { appendEvents, type NewEvent } from '../../store/log/inbox.ts'
import { deleteMessages } from '../../store/messages/changes.ts'
import { lockConversations, lockMembers, lockUsers } from '../../store/locks.ts'
import { changeWithin } from '../conversations/change.ts'
import { leave } from '../conversations/participants.ts'
import { wakesWithNames } from '../log/names.ts'
import { wakesFor } from '../log/render.ts'
import { type WakeEvent } from '../deliver/wakes.ts'

/** What a piece may do to others: more than this waits for the next. */
export const EVENTS_PER_PIECE = 2_000
export const MESSAGES_PER_PIECE = 500
const RECEIPTS_PER_PIECE = { conversations: 100, limit: 5_000 }
const REACTIONS_PER_PIECE = 100
const MENTIONS_PER_PIECE = 100
const INBOX_EVENTS_PER_PIECE = 5_000

export interface PieceContext { epoch: string, at: Date }

/** The step goes on where `position` says, with the next step when there is none. */
interface Piece { position?: ErasurePosition, wakes?: WakeEvent[], erased?: number }

type Step = (tx: Executor, erasure: Erasure, context: PieceContext) => Promise<Piece>
type TransactedStep = Exclude<ErasureStep, 'retained'>

const NEXT: Record<ErasureStep, ErasureStep> = {
  leave: 'messages',
  messages: 'receipts',
  receipts: 'reactions',
  reactions: 'mentions',
  mentions: 'retained',
  retained: 'inbox',
  inbox: 'rest',
  rest: 'rest'
}

/** Does the next piece of an erasure that this transaction has claimed. */
export async function doPiece (
  tx: Executor, erasure: Erasure & { step: TransactedStep }, context: PieceContext
): Promise<WakeEvent[]> {
  const { position, wakes = [], erased } = await STEPS[erasure.step](tx, erasure, context)
  await saveProgress(tx, erasure.user_id, position ?? startOf(NEXT[erasure.step]), erased)
  return wakes
}

/** The step after `step` begins. */
export async function endStep (tx: Executor, { user_id, step }: Erasure): Promise<void> {
  await saveProgress(tx, user_id, startOf(NEXT[step]))
}

const startOf = (step: ErasureStep): ErasurePosition => ({ step, at_id: NIL, at_seq: 0 })

const leaveNext: Step = async (tx, erasure, { epoch, at }) => {
  const [conversationId] = await presentIn(tx, erasure.user_id, 1)
  if (conversationId === undefined) return {}
  const events = await changeWithin(
    tx, conversationId, erasure.user_id, change => leave(change, erasure.user_id),
    () => at.getTime()
  )
  return { position: erasure, wakes: await wakesWithNames(tx, epoch, events) }
}

// Tombstones that were there before lose only what their sender's clients called them.
const eraseMessages: Step = async (tx, { user_id, at_id, at_seq }, { epoch, at }) => {
  const next = await nextFormer(tx, user_id, at_id)
  if (next === undefined) return {}
  const { conversation_id, members } = next
  const limit = Math.max(1, Math.min(MESSAGES_PER_PIECE, Math.floor(EVENTS_PER_PIECE / Math.max(1, members))))
  await lockConversations(tx, [conversation_id])
  const batch = await messagesOf(tx, conversation_id, user_id, at_seq, limit)
  const position = batch.length < limit
    ? { step: 'messages' as const, at_id: conversation_id, at_seq: 0 }
    : { step: 'messages' as const, at_id, at_seq: batch.at(-1)!.seq }
  if (batch.length === 0) return { position }
  const leaving = batch.filter(message => !message.deleted)
  const told = leaving.filter(message => !message.unseen)
  const audiences = await readAudiences(tx, told.map(({ seq }) => ({ conversation_id, seq })))
  const events = told.flatMap((message, i) => audiences[i]!.map((reader): NewEvent => ({
    user_id: reader,
    type: 'message_deleted',
    conversation_id,
    message_id: message.id,
    data: { deleted_at: at.toISOString() }
  })))
  const appended = await appendEvents(tx, events, at)
  const ids = batch.map(message => message.id)
  await deleteMessages(tx, ids, at)
  await forgetClientIds(tx, ids)
  await releaseAttachments(tx, ids, at)
  return { position, wakes: wakesFor(epoch, appended), erased: leaving.length }
}

const eraseReceipts: Step = async (tx, { user_id, at_id }) => {
  await lockUsers(tx, [user_id])
  const { removed, last } = await forgetReceipts(tx, user_id, at_id, RECEIPTS_PER_PIECE)
  if (last === null) return {}
  return { position: { step: 'receipts', at_id: removed > 0 ? at_id : last, at_seq: 0 } }
}

const eraseReactions: Step = async (tx, { user_id, at_id }, { epoch, at }) => {
  const found = await reactedMessages(tx, user_id, at_id, REACTIONS_PER_PIECE)
  if (found.length === 0) return {}
  const batch = found.slice(0, boundedCount(found.map(({ members }) => members)))
  await lockConversations(tx, [...new Set(batch.map(message => message.conversation_id))])
  await lockMembers(tx, [...new Set(batch.map(message => message.conversation_id))], [user_id])
  const taken = await takeReactions(tx, user_id, batch.map(message => message.message_id))
  const told = taken.filter(reaction => !reaction.unseen)
  const audiences = await readAudiences(tx, told)
  const events = told.flatMap(({ message_id, conversation_id, emoji }, i) =>
    audiences[i]!.map((reader): NewEvent => ({
      user_id: reader, type: 'reaction_removed', conversation_id, message_id, data: { user_id, emoji }
    })))
  const appended = await appendEvents(tx, events, at)
  return {
    position: { step: 'reactions', at_id: batch.at(-1)!.message_id, at_seq: 0 },
    wakes: wakesFor(epoch, appended)
  }
}

// What is taken is not found again, so every piece begins anew.
const eraseMentions: Step = async (tx, { user_id, at_id }, { epoch, at }) => {
  const position = { step: 'mentions' as const, at_id, at_seq: 0 }
  const found = await messagesMentioning(tx, user_id, MENTIONS_PER_PIECE)
  if (found.length === 0) {
    return await takeEarlierMentions(tx, user_id, MENTIONS_PER_PIECE) > 0 ? { position } : {}
  }
  const batch = found.slice(0, boundedCount(found.map(({ members }) => members)))
  await lockConversations(tx, [...new Set(batch.map(message => message.conversation_id))])
  await takeMentions(tx, user_id, batch.map(message => message.id))
  const audiences = await readAudiences(tx, batch)
  const events = batch.flatMap(({ id, conversation_id, sender_user_id, unseen }, i) =>
    audiences[i]!.filter(reader => !unseen || reader === sender_user_id).map((reader): NewEvent =>
      ({ user_id: reader, type: 'message_edited', conversation_id, message_id: id })))
  const appended = await appendEvents(tx, events, at)
  return { position, wakes: wakesFor(epoch, appended) }
}

/** How many of these, from the first on, make no more events than a piece may; one at least. */
function boundedCount (events: number[]): number {
  let sum = 0
  const over = events.findIndex(count => (sum += count) > EVENTS_PER_PIECE)
  return over === -1 ? events.length : Math.max(1, over)
}

const eraseInbox: Step = async (tx, { user_id, at_id, at_seq }) => {
  const upTo = await cutInbox(tx, user_id, at_seq, INBOX_EVENTS_PER_PIECE)
  return upTo === undefined
    ? { position: { step: 'rest', at_id, at_seq } }
    : { position: { step: 'inbox', at_id, at_seq: upTo } }
}

// An admin may have let them in again meanwhile: then everything is gone through once more.
const eraseTheRest: Step = async (tx, { user_id, requested_by, messages, at_seq }, { epoch, at }) => {
  await lockUsers(tx, [user_id])
  if ((await presentIn(tx, user_id, 1)).length > 0) return { position: startOf('leave') }
  await cutInbox(tx, user_id, at_seq, INBOX_EVENTS_PER_PIECE)
  await eraseRest(tx, user_id, at)
  await blankUser(tx, user_id)
  // A device that comes back, wherever it had got to, learns that what it holds is gone.
  const appended = await appendEvents(tx, [{ user_id, type: 'resync_required', conversation_id: null }], at)
  await writeAudit(
    tx, { actorId: requested_by, action: 'erase_finished', subjectId: user_id, details: { messages } }
  )
  await finishErasure(tx, user_id)
  return { position: startOf('rest'), wakes: wakesFor(epoch, appended) }
}

const STEPS: Record<TransactedStep, Step> = {
  leave: leaveNext,
  messages: eraseMessages,
  receipts: eraseReceipts,
  reactions: eraseReactions,
  mentions: eraseMentions,
  inbox: eraseInbox,
  rest: eraseTheRest
}
