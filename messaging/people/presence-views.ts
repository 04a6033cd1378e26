/** What one user may know of another's presence. */
import { type Executor } from '../../store/database.ts'
import { findLastSeen } from '../../store/people/presence.ts'
import { type Presence } from './presence.ts'

export interface PresenceView { user_id: string, online: boolean, last_seen_at: string | null }

export interface PresenceViews {
  /** Undefined without a direct conversation. Where one blocks the other: as if they were never there. */
  find (viewerId: string, userId: string): Promise<PresenceView | undefined>
}

export const createPresenceViews = (db: Executor, presence: Pick<Presence, 'isOnline'>): PresenceViews => ({
  async find (viewerId, userId) {
    const seen = await findLastSeen(db, viewerId, userId)
    if (seen === undefined) return undefined
    if (seen.hidden) return { user_id: userId, online: false, last_seen_at: null }
    return {
      user_id: userId,
      online: await presence.isOnline(userId),
      last_seen_at: seen.last_seen_at?.toISOString() ?? null
    }
  }
})
