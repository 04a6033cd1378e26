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
import { appendEvents, type NewEvent } from '../../store/log/inbox.ts'
import { lockConversations, type LockedConversation } from '../../store/locks.ts'
import { requirePresent } from '../membership.ts'
import { wakesWithNames } from '../log/names.ts'
import { type WakeEvent } from '../deliver/wakes.ts'

export interface ChangeContext {
  conversation: LockedConversation
  actor: Membership
  members: Membership[]
  at: Date
}

/** Without events nothing has changed. `activity`: somebody came or went. */
export interface Change { events: NewEvent[], activity?: boolean }

export type Work = (tx: Executor, context: ChangeContext) => Promise<Change>
export type ChangeConversation = (conversationId: string, actorId: string, work: Work) => Promise<void>

export interface ChangeDeps { database: Database, epoch: string, wake: (events: WakeEvent[]) => void }

/** Throws `not_found` for an actor who was never in, `forbidden` for a former member, and what `work` throws. */
export const createConversationChange = ({ database, epoch, wake }: ChangeDeps): ChangeConversation => async (
  conversationId, actorId, work
) => {
  const wakes = await database.transact(tx => changeWithin(tx, epoch, conversationId, actorId, work))
  if (wakes.length > 0) wake(wakes)
}

/** The same as a part of the caller's transaction, who wakes after it. */
export async function changeWithin (
  tx: Executor, epoch: string, conversationId: string, actorId: string, work: Work
): Promise<WakeEvent[]> {
  const conversation = (await lockConversations(tx, [conversationId])).get(conversationId)
  if (conversation === undefined) throw unknownConversation()
  const actor = requirePresent(await findMembership(tx, conversationId, actorId))
  const members = await presentMembers(tx, conversationId)
  const at = new Date()
  const { events, activity = false } = await work(tx, { conversation, actor, members, at })
  if (activity) await touchConversation(tx, conversationId, at)
  return await wakesWithNames(tx, epoch, await appendEvents(tx, events, at))
}
