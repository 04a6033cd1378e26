/**
 * One change of a conversation: a transaction that takes the conversation's
 * lock, then the users', and appends what their devices must learn. Two admins
 * who act at once therefore act one after the other.
 */
import { unknownConversation } from '../../core/errors.ts'
import {
  findMembership, presentMembers, touchConversation, type Membership
} from '../../store/conversations/conversations.ts'
import { type Database, type Executor } from '../../store/database.ts'
import { appendEvents, type AppendedEvent, type NewEvent } from '../../store/log/inbox.ts'
import { lockConversations, type LockedConversation } from '../../store/locks.ts'
import { type Announce } from './announce.ts'
import { requirePresent } from '../membership.ts'

export interface ChangeContext {
  conversation: LockedConversation
  actor: Membership
  members: Membership[]
  at: Date
}

/** Without events nothing has changed. `activity`: a participant came or went. */
export interface Change { events: NewEvent[], activity?: boolean }

export type Work = (tx: Executor, context: ChangeContext) => Promise<Change>
export type ChangeConversation = (conversationId: string, actorId: string, work: Work) => Promise<void>

/**
 * Resolves when the change is committed and told. Throws `not_found` for an actor who was never in,
 * `forbidden` for a former member, and what `work` throws.
 */
export const createConversationChange = ({ database, announce, now }: {
  database: Database, announce: Announce, now: () => number
}): ChangeConversation => async (conversationId, actorId, work) => {
  await announce(await database.transact(tx => changeWithin(tx, conversationId, actorId, work, now)))
}

/** The same as a part of the caller's transaction; the caller tells of the events after it. */
export async function changeWithin (
  tx: Executor, conversationId: string, actorId: string, work: Work, now: () => number
): Promise<AppendedEvent[]> {
  const conversation = (await lockConversations(tx, [conversationId])).get(conversationId)
  if (conversation === undefined) throw unknownConversation()
  const actor = requirePresent(await findMembership(tx, conversationId, actorId))
  const members = await presentMembers(tx, conversationId)
  const at = new Date(now())
  const { events, activity = false } = await work(tx, { conversation, actor, members, at })
  if (activity) await touchConversation(tx, conversationId, at)
  return await appendEvents(tx, events, at)
}
