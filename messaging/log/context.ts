/**
 * What the decisions of a batch depend on: known from the batches before it, else read. Under locks, of
 * conversations, then users, what is read after them is final. Without, the database refuses what was decided
 * by rows that have changed since.
 */
import { type Executor } from '../../store/database.ts'
import {
  findConversations, findMembers, type InboxCounters, type LockedConversation, lockConversations, lockMembers
} from '../../store/locks.ts'
import { type RisingRead, risingReads } from '../../store/log/read-marks.ts'
import { type DeliveredMark, deliveredMarks, type Participant } from '../../store/log/receipts.ts'
import { type Member } from '../../store/log/sends.ts'
import { findFenced } from '../../store/people/device-sessions.ts'
import { type Acknowledgement } from '../receipts/acknowledgements.ts'
import { participantKey, reachedBy } from '../receipts/marks.ts'
import { type PreparedRead } from '../receipts/read-receipts.ts'
import { readSendContext, type SendContext } from '../send/plan.ts'
import { type Send } from '../send/queue.ts'

/** A message in a conversation of more members makes a batch that others should not wait for. */
export const MANY_MEMBERS = 64

export interface Batch { sends: Send[], acknowledgements: Acknowledgement[], reads: PreparedRead[] }

export interface Context {
  conversations: Map<string, LockedConversation>
  users: Map<string, InboxCounters>
  /** Who was to be locked beside the members; the unknown are not among `users`. */
  asked: Set<string>
  sends: SendContext
  marks: DeliveredMark[]
  rising: RisingRead[]
  /** Acknowledgements that count: not those of a replaced connection. */
  acknowledgements: Acknowledgement[]
  /** What of the above was not known before. */
  read: Pick<Context, 'conversations' | 'users'>
}

export interface KnownConversation { conversation: LockedConversation, members: Map<string, Member> }

/** What need not be read. Undefined: it is not known. */
export interface Known {
  conversation (id: string): KnownConversation | undefined
  user (id: string): InboxCounters | undefined
}

export interface Reading {
  /** What was read stays as it is until the end of the transaction. */
  lock: boolean
  /** Whether to look for an earlier message with the client_message_id of this one. */
  mayBeRepeated: (send: Send) => boolean
  /** Connections of one device may be on other nodes. */
  fenced: boolean
}

/** Asks for everything at once that is not recalled. */
export async function readContext (
  tx: Executor, batch: Batch, { context, conversations, users, participants }: Recalled,
  { lock, mayBeRepeated, fenced }: Reading
): Promise<Context> {
  const { sends, acknowledgements, reads } = batch
  const [foundConversations, foundUsers, sendContext, replaced, marks, rising] = await Promise.all([
    conversations.length === 0 ? NONE : (lock ? lockConversations : findConversations)(tx, conversations),
    conversations.length + users.length === 0
      ? NONE
      : (lock ? lockMembers : findMembers)(tx, conversations, users),
    readSendContext(tx, sends, conversations, mayBeRepeated),
    fenced ? replacedAmong(tx, acknowledgements) : new Set<Acknowledgement>(),
    deliveredMarks(tx, participants),
    risingReads(tx, [...furthestReads(reads).values()])
  ])
  for (const [id, conversation] of foundConversations) context.conversations.set(id, conversation)
  for (const [id, user] of foundUsers) context.users.set(id, user)
  for (const [id, members] of sendContext.members) context.sends.members.set(id, members)
  return {
    ...context,
    sends: { ...sendContext, members: context.sends.members },
    marks: [...context.marks, ...marks],
    rising,
    acknowledgements: acknowledgements.filter(acknowledgement => !replaced.has(acknowledgement)),
    read: { conversations: foundConversations, users: foundUsers }
  }
}

const NONE = new Map<string, never>()

/** What is known, and what is left to be read. */
export interface Recalled {
  context: Context
  conversations: string[]
  users: string[]
  participants: Participant[]
}

/** `alsoConcerned`: users who turned out to be. */
export function recallContext (
  batch: Batch, known: Known, alsoConcerned: ReadonlySet<string> = new Set()
): Recalled {
  const { sends, acknowledgements } = batch
  const others = new Set([...alsoConcerned, ...othersOf(batch)])
  const context: Context = {
    conversations: new Map(),
    users: new Map(),
    asked: others,
    sends: { members: new Map(), replyTargets: new Map(), attachments: new Map(), repeats: [] },
    marks: [],
    rising: [],
    acknowledgements,
    read: { conversations: NONE, users: NONE }
  }
  const conversations = new Set<string>()
  for (const { senderId, draft: { conversation_id: id } } of sends) {
    const sender = known.conversation(id)?.members.get(senderId)
    // A refusal changes no row that could tell whether it is out of date.
    if (sender === undefined || !sender.present || !sender.can_send_messages) conversations.add(id)
  }
  const users = new Set<string>()
  const needUser = (id: string): void => {
    const user = known.user(id)
    if (user === undefined) users.add(id)
    else context.users.set(id, user)
  }
  for (const { draft: { conversation_id: id } } of sends) {
    if (conversations.has(id) || context.conversations.has(id)) continue
    const { conversation, members } = known.conversation(id)!
    context.conversations.set(id, conversation)
    context.sends.members.set(id, members)
    for (const { user_id, present } of members.values()) if (present) needUser(user_id)
  }
  for (const id of others) needUser(id)
  for (const { userId, seq } of acknowledgements) {
    if (seq > (context.users.get(userId)?.inbox_seq ?? 0)) users.add(userId)
  }
  const participants: Participant[] = []
  for (const { conversation_id, user_id } of reachedBy(acknowledgements).values()) {
    const member = known.conversation(conversation_id)?.members.get(user_id)
    // Who came later may have earlier stays with something left to deliver.
    if (member === undefined || member.joined_seq > 0) {
      participants.push({ conversation_id, user_id })
    } else {
      const { joined_seq, last_delivered_seq } = member
      context.marks.push({ conversation_id, user_id, joined_seq, ended_seq: null, last_delivered_seq })
    }
  }
  return { context, conversations: [...conversations], users: [...users], participants }
}

export const conversationsOf = (sends: Send[]): string[] =>
  [...new Set(sends.map(send => send.draft.conversation_id))]

/** Who is concerned beside the members of the conversations: acknowledging, reading, or to be told of it. */
export function othersOf ({ acknowledgements, reads }: Batch): Set<string> {
  const others = new Set<string>()
  for (const { userId, deliveries } of acknowledgements) {
    others.add(userId)
    for (const { sender_user_id, told } of deliveries) if (told) others.add(sender_user_id)
  }
  for (const { mark, senders } of reads) {
    others.add(mark.user_id)
    for (const sender of senders) others.add(sender)
  }
  return others
}

async function replacedAmong (
  tx: Executor, acknowledgements: Acknowledgement[]
): Promise<Set<Acknowledgement>> {
  const held = acknowledgements.filter(({ deviceId, lease }) => deviceId !== undefined && lease !== undefined)
  if (held.length === 0) return new Set()
  const replaced = await findFenced(tx, held.map(({ userId, deviceId, lease }) =>
    ({ userId, deviceId: deviceId!, lease: lease! })))
  return new Set([...replaced].map(i => held[i]!))
}

/** By conversation and reader. */
export function furthestReads (reads: PreparedRead[]): Map<string, PreparedRead['mark']> {
  const furthest = new Map<string, PreparedRead['mark']>()
  for (const { mark } of reads) {
    const key = participantKey(mark.conversation_id, mark.user_id)
    if ((furthest.get(key)?.up_to_seq ?? -1) < mark.up_to_seq) furthest.set(key, mark)
  }
  return furthest
}
