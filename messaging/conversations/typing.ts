/** Typing: told to the other participants' sessions as it happens, never stored. */
import { LRUCache } from 'lru-cache'
import { findMembership, typingAudience } from '../../store/conversations/conversations.ts'
import { type Executor } from '../../store/database.ts'
import { requirePresent, sendingNotAllowed } from '../membership.ts'
import { type Wakes } from '../deliver/wakes.ts'

const TYPING_MS = 10_000
/** A group has up to 999 to tell: what was just told is not told again for this long. */
const REPEAT_MS = 1_000
const MAX_REMEMBERED = 20_000

export interface Typing {
  /** Throws `not_found`, and `forbidden` for a former member and for a user who may not send. */
  tell (userId: string, conversationId: string, isTyping: boolean): Promise<void>
}

export function createTyping ({ db, wakes, now }: {
  db: Executor, wakes: Pick<Wakes, 'live'>, now: () => number
}): Typing {
  const told = new LRUCache<string, { isTyping: boolean }>({ max: MAX_REMEMBERED, ttl: REPEAT_MS })
  return {
    async tell (userId, conversationId, isTyping) {
      const { can_send_messages } = requirePresent(await findMembership(db, conversationId, userId))
      if (!can_send_messages) throw sendingNotAllowed()
      const key = `${conversationId} ${userId}`
      if (told.get(key)?.isTyping === isTyping) return
      told.set(key, { isTyping })
      const expiresAt = new Date(now() + TYPING_MS).toISOString()
      wakes.live(await typingAudience(db, conversationId, userId), Buffer.from(JSON.stringify({
        type: 'typing',
        conversation_id: conversationId,
        user_id: userId,
        is_typing: isTyping,
        expires_at: expiresAt
      })))
    }
  }
}
