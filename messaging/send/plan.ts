/**
 * Decides one batch of sends in one transaction. Each send succeeds or fails
 * alone; what fails changes nothing. After the commit the rendered events are
 * handed to `wake`.
 */
import { uuidv7 } from 'uuidv7'
import { AppError, formerMember, invalid, unknownConversation, unknownUpload } from '../../core/errors.ts'
import { encodeMessageBodies, type EventBody } from '../../core/events.ts'
import { draftFingerprint, type MessageDraft } from '../../core/message-rules.ts'
import { type AttachmentView, type MessageView } from '../../core/views.ts'
import { attachToMessages, readAttachments, type OwnAttachment } from '../../store/attachments.ts'
import { type Database, type Executor, violates } from '../../store/database.ts'
import { type AppendedEvent, type NewEvent, numberEvents } from '../../store/log/inbox.ts'
import { messageView } from '../../store/messages/messages.ts'
import { type DuePush } from '../../store/push/due.ts'
import {
  findRepeats, readMembers, readReplyTargets, writeSends, writeShown, type Member, type NewMessage, type ReplyTarget, type Shown
} from '../../store/log/sends.ts'
import { lockConversations, type LockedConversation, lockUsers } from '../../store/locks.ts'
import { sendingNotAllowed } from '../conversations/membership.ts'
import { type Outcome, type Send, type SendResult } from './queue.ts'
import { type WakeEvent } from '../deliver/wakes.ts'

/** A large group's messages make many events: more than this wait for the next batch. */
const MAX_EVENTS_PER_BATCH = 10_000
const MAX_REPEAT_RACES = 5

export interface CommitSendsDeps {
  database: Database
  epoch: string
  /** Who of these has a tracked session? Read before the commit, so that a crash after it loses no push. Must not reject. */
  findSessions: (userIds: string[]) => Promise<KnownSessions>
  graceMs: number
  /** Makes a push due for somebody whose session went away unnoticed. */
  overdue: (due: DuePush) => void
  wake: (events: WakeEvent[]) => void
  /** Some push rows were written. */
  pushDue: () => void
}

/** `certain` is false when other nodes could not be asked: who is not in `present` may have a session all the same. */
export interface KnownSessions { present: Set<string>, certain: boolean }

interface Context {
  conversations: Map<string, LockedConversation>
  /** conversation id → user id → membership */
  members: Map<string, Map<string, Member>>
  replyTargets: Map<string, ReplyTarget>
  /** Those named in the batch that may be sent, by id. */
  attachments: Map<string, OwnAttachment>
  /** Stored or about to be stored, by sender and client_message_id. */
  known: Map<string, { fingerprint: string | null, result: SendResult }>
}

interface Plan {
  outcomes: Outcome[]
  messages: NewMessage[]
  views: MessageView[]
  events: NewEvent[]
  /** By conversation and user. */
  shown: Map<string, Shown>
}

export function commitSends (deps: CommitSendsDeps): (batch: Send[]) => Promise<Outcome[]> {
  return async batch => {
    for (let race = 1; ; race++) {
      try {
        return await commitOnce(deps, batch)
      } catch (error) {
        // Another process stored one of the client_message_ids between our look
        // and our insert: everything was rolled back, the next look finds it.
        // Likewise an attachment that was released meanwhile.
        const raced = error instanceof AttachmentReleased ||
          violates(error, 'messages_client_message_id_unique')
        if (race === MAX_REPEAT_RACES || !raced) throw error
      }
    }
  }
}

class AttachmentReleased extends Error {}

async function commitOnce (deps: CommitSendsDeps, batch: Send[]): Promise<Outcome[]> {
  const { outcomes, wakes, pushed, watched } = await deps.database.transact(async tx => {
    const context = await readContext(tx, batch)
    // Read under the lock, so that a message is not older than the participant it waited for.
    const at = new Date()
    const plan = planBatch(batch, context, at)
    if (plan.messages.length === 0) {
      return { outcomes: plan.outcomes, wakes: [], pushed: false, watched: new Map<string, number>() }
    }
    const recipients = new Set(plan.events.map(event => event.user_id))
    const { present, certain } = await deps.findSessions([...recipients])
    const events = numberEvents(plan.events, await lockUsers(tx, [...recipients]))
    const received = events.filter(event => event.type === 'new_message')
    const pushDue = new Set(received.filter(event => !present.has(event.user_id)).map(event => event.user_id))
    const watched =
      new Map(received.filter(event => present.has(event.user_id)).map(event => [event.user_id, event.seq]))
    // Who may have a session is given the time to acknowledge, which cancels the push.
    const pushDueAt = certain ? at : new Date(at.getTime() + deps.graceMs)
    await writeAttachments(tx, plan.views)
    await writeSends(tx, { at, messages: plan.messages, events, pushDue: [...pushDue], pushDueAt })
    await writeShown(tx, [...plan.shown.values()])
    return {
      outcomes: plan.outcomes,
      wakes: renderWakes(deps.epoch, plan.views, events),
      pushed: pushDue.size > 0,
      watched
    }
  })
  if (wakes.length > 0) deps.wake(wakes)
  if (pushed) deps.pushDue()
  pushUnwatched(deps, watched).catch(() => {}) // neither step of it rejects
  return outcomes
}

/** After the users: attachments come last in the order of locks. */
async function writeAttachments (tx: Executor, views: MessageView[]): Promise<void> {
  const sent = views.flatMap(view =>
    view.attachments.map(({ id }, position) => ({ messageId: view.id, position, attachmentId: id })))
  if (sent.length > 0 && !await attachToMessages(tx, sent)) throw new AttachmentReleased()
}

// A session that ended while its event was being committed did not know of it
// and could not report it; after the wake every session that is left does.
async function pushUnwatched (
  { findSessions, overdue }: CommitSendsDeps, watched: Map<string, number>
): Promise<void> {
  if (watched.size === 0) return
  const { present, certain } = await findSessions([...watched.keys()])
  for (const [userId, seq] of certain ? watched : []) {
    if (!present.has(userId)) overdue({ userId, seq, dueAt: new Date() })
  }
}

async function readContext (tx: Executor, batch: Send[]): Promise<Context> {
  const ids = [...new Set(batch.map(send => send.draft.conversation_id))]
  const conversations = await lockConversations(tx, ids)
  const identified = batch.filter(send => send.draft.client_message_id !== undefined)
  const repeats = identified.length === 0
    ? []
    : await findRepeats(
      tx, identified.map(send => send.senderId), identified.map(send => send.draft.client_message_id!)
    )
  const members = new Map<string, Map<string, Member>>(ids.map(id => [id, new Map()]))
  for (const member of await readMembers(tx, ids, batch.map(send => send.senderId))) {
    members.get(member.conversation_id)!.set(member.user_id, member)
  }
  const replyIds = new Set(batch.map(send => send.draft.reply_to_id).filter(id => id != null))
  return {
    conversations,
    members,
    replyTargets: await readReplyTargets(tx, [...replyIds]),
    attachments: await readAttachments(tx, [...new Set(batch.flatMap(send => attachmentIds(send.draft)))]),
    known: new Map(repeats.map(row => [
      repeatKey(row.sender_user_id, row.client_message_id!),
      {
        fingerprint: row.client_fingerprint, result: { message: messageView(row, row.status), repeated: true }
      }
    ]))
  }
}

function planBatch (batch: Send[], context: Context, at: Date): Plan {
  const plan: Plan = { outcomes: [], messages: [], views: [], events: [], shown: new Map() }
  const postponed = new Set<string>()
  for (const send of batch) {
    const conversationId = send.draft.conversation_id
    try {
      plan.outcomes.push(postponed.has(conversationId) ? undefined : planSend(send, context, plan, at))
    } catch (error) {
      if (!(error instanceof AppError)) throw error
      plan.outcomes.push(error)
    }
    // From the first postponed send on, its whole conversation waits: order is kept.
    if (plan.outcomes.at(-1) === undefined) postponed.add(conversationId)
  }
  return plan
}

function planSend ({ senderId, draft }: Send, context: Context, plan: Plan, at: Date): Outcome {
  const fingerprint = draft.client_message_id === undefined ? null : draftFingerprint(draft)
  const key = draft.client_message_id === undefined ? undefined : repeatKey(senderId, draft.client_message_id)
  const known = key === undefined ? undefined : context.known.get(key)
  if (known !== undefined) {
    if (known.fingerprint === fingerprint) return known.result
    throw new AppError(
      'conflict', 'client_message_id_reused', 'this client_message_id was already used for another message'
    )
  }

  const conversation = context.conversations.get(draft.conversation_id)
  const members = context.members.get(draft.conversation_id)!
  const sender = members.get(senderId)
  if (conversation === undefined || sender === undefined) throw unknownConversation()
  if (!sender.present) throw formerMember()
  if (!sender.can_send_messages) {
    throw sendingNotAllowed()
  }
  if (draft.reply_to_id != null) checkReply(draft.reply_to_id.toLowerCase(), sender, context)
  const attachments = attachmentIds(draft).map(id => ownAttachment(id, senderId, context))
  if (plan.events.length > 0 && plan.events.length + members.size > MAX_EVENTS_PER_BATCH) return undefined

  const recipients = [...members.values()].filter(member => member.present && member.user_id !== senderId)
  const hidden = recipients.some(member => member.blocks_other)
  const message: NewMessage = {
    id: uuidv7(),
    conversation_id: conversation.id,
    seq: ++conversation.last_seq,
    sender_user_id: senderId,
    content: draft.content,
    message_type: draft.message_type,
    mentions: draft.mentions ?? [],
    reply_to_id: draft.reply_to_id?.toLowerCase() ?? null,
    client_message_id: draft.client_message_id ?? null,
    client_fingerprint: fingerprint,
    hidden
  }
  const view = messageView({
    ...message,
    message_seq: message.seq,
    created_at: at,
    edited_at: null,
    withdrawn_at: null,
    deleted_at: null,
    attachments,
    reactions: []
  }, 'sent')
  const event = { conversation_id: conversation.id, message_id: message.id }
  for (const member of conversation.type === 'direct' ? members.values() : []) {
    planShown(member, conversation, { hidden: member.blocks_other && member.user_id !== senderId }, plan)
  }
  if (at > conversation.last_activity_at) conversation.last_activity_at = at
  plan.messages.push(message)
  plan.views.push(view)
  plan.events.push({ user_id: senderId, type: 'message_sent', ...event })
  for (const member of recipients) {
    if (!member.blocks_other) plan.events.push({ user_id: member.user_id, type: 'new_message', ...event })
  }
  const result = { message: view, repeated: false }
  if (key !== undefined) context.known.set(key, { fingerprint, result: { message: view, repeated: true } })
  return result
}

/** The conversation's new message moves where it ends for a member. */
function planShown (
  member: Member, { last_seq, last_activity_at }: LockedConversation, { hidden }: { hidden: boolean },
  plan: Plan
): void {
  if (hidden === (member.shown_seq !== null)) return
  member.shown_seq = hidden ? last_seq - 1 : null
  const { conversation_id, user_id, shown_seq } = member
  plan.shown.set(`${conversation_id} ${user_id}`, {
    conversation_id, user_id, shown_seq, shown_at: hidden ? last_activity_at : null
  })
}

function checkReply (replyToId: string, sender: Member, { replyTargets }: Context): void {
  const target = replyTargets.get(replyToId)
  const visible = target !== undefined && target.conversation_id === sender.conversation_id &&
    target.seq > sender.joined_seq && (!target.hidden || target.sender_user_id === sender.user_id)
  if (!visible) throw invalid('invalid_reply', 'reply_to_id does not name a message of this conversation')
}

const attachmentIds = (draft: MessageDraft): string[] =>
  (draft.attachment_ids ?? []).map(id => id.toLowerCase())

function ownAttachment (id: string, senderId: string, { attachments }: Context): AttachmentView {
  const found = attachments.get(id)
  if (found?.owner_user_id !== senderId) throw unknownUpload()
  const { owner_user_id, ...view } = found
  return view
}

function renderWakes (epoch: string, views: MessageView[], events: AppendedEvent[]): WakeEvent[] {
  const bodies = new Map<string, { received: EventBody, sent: EventBody }>(
    views.map(view => [view.id, encodeMessageBodies(epoch, view)]))
  return events.map(event => {
    const body = bodies.get(event.message_id!)!
    return {
      userId: event.user_id, seq: event.seq, body: event.type === 'message_sent' ? body.sent : body.received
    }
  })
}

// A user id has no space, so the two parts cannot run into each other.
const repeatKey = (senderId: string, clientMessageId: string): string => `${senderId} ${clientMessageId}`
