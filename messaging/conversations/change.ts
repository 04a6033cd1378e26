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
import { lockConversations, lockUsers, type LockedConversation } from '../../store/locks.ts'
import { createUsers } from '../../store/people/users.ts'
import { type Announce } from '../log/announce.ts'
import { requirePresent } from '../membership.ts'

export interface ChangeContext {
  conversation: LockedConversation
  actor: Membership
  members: Membership[]
  at: Date
}

/** What `Work` has decided under the conversation's lock. Without events nothing changes. */
export interface Change {
  events: NewEvent[]
  /** Users who come in; those who are new are created. */
  entering?: string[]
  /** A participant came or went. */
  activity?: boolean
  /** Writes the change, once the users of the events are locked. */
  write?: (tx: Executor) => Promise<void>
}

export type Work = (context: ChangeContext) => Change
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
  const { events, entering = [], activity = false, write } = work({ conversation, actor, members, at })
  await createUsers(tx, entering)
  await lockUsers(tx, [...new Set(events.map(event => event.user_id))])
  await write?.(tx)
  if (activity) await touchConversation(tx, conversationId, at)
  return await appendEvents(tx, events, at)
}
