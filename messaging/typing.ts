/** Typing: told to the other participants' sessions as it happens, never stored. */
import { findMembership, presentMembers } from '../store/conversations.ts'
import { type Executor } from '../store/database.ts'
import { requirePresent } from './membership.ts'
import { type Wakes } from './wakes.ts'

const TYPING_MS = 10_000

export async function tellTyping ({ db, wakes }: { db: Executor, wakes: Pick<Wakes, 'live'> }, userId: string, conversationId: string, isTyping: boolean): Promise<void> {
  requirePresent(await findMembership(db, conversationId, userId))
  const others = (await presentMembers(db, conversationId)).map(member => member.user_id).filter(id => id !== userId)
  const expiresAt = new Date(Date.now() + TYPING_MS).toISOString()
  wakes.live(others, Buffer.from(JSON.stringify({
    type: 'typing', conversation_id: conversationId, user_id: userId, is_typing: isTyping, expires_at: expiresAt
  })))
}
