/**
 * Decides the sends of one batch. Each send succeeds or fails alone; what fails
 * changes nothing. Reading and planning are apart: planning waits for nothing.
 */
import { uuidv7 } from 'uuidv7'
import { AppError, formerMember, invalid, unknownConversation, unknownUpload } from '../../core/errors.ts'
import { encodeMessageBodies, type EventBody } from '../../core/events.ts'
import { draftFingerprint, isFingerprintOf, type MessageDraft } from '../../core/message-rules.ts'
import { type AttachmentView, type MessageView } from '../../core/views.ts'
import { readAttachments, type OwnAttachment } from '../../store/attachments.ts'
import { type Executor } from '../../store/database.ts'
import { type LockedConversation } from '../../store/locks.ts'
import { type NewEvent } from '../../store/log/inbox.ts'
import { MAX_PARTICIPANTS_WITH_RECEIPT_EVENTS } from '../../store/log/receipts.ts'
import {
  findRepeats, readMembers, readReplyTargets, readStored, type Member, type NewMessage, type ReplyTarget,
  type Shown
} from '../../store/log/sends.ts'
import { messageView } from '../../store/messages/messages.ts'
import { sendingNotAllowed } from '../membership.ts'
import { type Send, type SendOutcome, type SendResult } from './queue.ts'

/** A large group's messages make many events: more than this wait for the next batch. */
const MAX_EVENTS_PER_BATCH = 2_000

export interface SendContext {
  /** conversation id → user id → membership */
  members: Map<string, Map<string, Member>>
  replyTargets: Map<string, ReplyTarget>
  /** Those named in the batch that may be sent, by id. */
  attachments: Map<string, OwnAttachment>
  /** Messages that were sent before with one of the batch's client_message_ids. */
  repeats: string[]
}

export interface SendPlan {
  outcomes: SendOutcome[]
  messages: NewMessage[]
  views: MessageView[]
  events: NewEvent[]
  /** By message. */
  bodies: Map<string, { received: EventBody, sent: EventBody }>
  /** The device that is answered with the message, by message. */
  answered: Map<string, string>
  /** By conversation and user. */
  shown: Map<string, Shown>
}

/** Asks for everything at once: of the members those of these conversations. */
export async function readSendContext (
  tx: Executor, sends: Send[], ids: string[], mayBeRepeated: (send: Send) => boolean
): Promise<SendContext> {
  const identified = sends.filter(send => send.draft.client_message_id !== undefined && mayBeRepeated(send))
  const replyIds = new Set(sends.map(send => send.draft.reply_to_id).filter(id => id != null))
  const [memberRows, repeats, replyTargets, attachments] = await Promise.all([
    ids.length === 0 ? [] : readMembers(tx, ids, sends.map(send => send.senderId)),
    identified.length === 0
      ? []
      : findRepeats(
        tx, identified.map(send => send.senderId), identified.map(send => send.draft.client_message_id!)),
    readReplyTargets(tx, [...replyIds]),
    readAttachments(tx, [...new Set(sends.flatMap(send => attachmentIds(send.draft)))])
  ])
  const members = new Map<string, Map<string, Member>>(ids.map(id => [id, new Map()]))
  for (const member of memberRows) members.get(member.conversation_id)!.set(member.user_id, member)
  return {
    members,
    replyTargets,
    attachments,
    repeats
  }
}

/** By sender and client_message_id: messages that are stored or about to be stored. */
export type KnownSends = Map<string, { fingerprint: string | null, result: SendResult }>

export async function readKnown (tx: Executor, { repeats }: SendContext): Promise<KnownSends> {
  const stored = await readStored(tx, repeats)
  return new Map(stored.map(row => [
    repeatKey(row.sender_user_id, row.client_message_id!),
    { fingerprint: row.client_fingerprint, result: { message: messageView(row, row.status), repeated: true } }
  ]))
}

type Context = SendContext & {
  conversations: Map<string, LockedConversation>
  known: KnownSends
  epoch: string
}
type Plan = SendPlan

export function planSends (sends: Send[], context: Context, at: Date): SendPlan {
  const plan: Plan = {
    outcomes: [],
    messages: [],
    views: [],
    events: [],
    bodies: new Map(),
    answered: new Map(),
    shown: new Map()
  }
  const postponed = new Set<string>()
  for (const send of sends) {
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

function planSend ({ senderId, draft, deviceId }: Send, context: Context, plan: Plan, at: Date): SendOutcome {
  const fingerprint = draft.client_message_id === undefined ? null : draftFingerprint(draft)
  const key = draft.client_message_id === undefined ? undefined : repeatKey(senderId, draft.client_message_id)
  const known = key === undefined ? undefined : context.known.get(key)
  if (known !== undefined) {
    if (isFingerprintOf(known.fingerprint, fingerprint)) return known.result
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
    message_seq: message.seq,
    created_at: at,
    edited_at: null,
    withdrawn_at: null,
    deleted_at: null,
    attachments,
    reactions: [],
    ...message
  }, 'sent')
  const event = { conversation_id: conversation.id, message_id: message.id }
  for (const member of conversation.type === 'direct' ? members.values() : []) {
    planShown(member, conversation, { hidden: member.blocks_other && member.user_id !== senderId }, plan)
  }
  if (at > conversation.last_activity_at) conversation.last_activity_at = at
  plan.messages.push(message)
  plan.views.push(view)
  const told = recipients.length < MAX_PARTICIPANTS_WITH_RECEIPT_EVENTS
  plan.bodies.set(message.id, encodeMessageBodies(context.epoch, view, told))
  if (deviceId !== undefined) plan.answered.set(message.id, deviceId)
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

// A user id has no space, so the two parts cannot run into each other.
const repeatKey = (senderId: string, clientMessageId: string): string => `${senderId} ${clientMessageId}`
