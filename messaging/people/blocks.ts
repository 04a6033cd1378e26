/**
 * Blocks. What they do to messages, pushes, typing and presence is decided where
 * those are made. When a block begins or ends, each of the two is told the other's
 * presence as they may know it from then on.
 */
import { AppError, invalid } from '../../core/errors.ts'
import { directKeyOf, noteBlock } from '../../store/conversations/conversations.ts'
import { countBlocks, deleteBlock, insertBlock } from '../../store/people/blocks.ts'
import { type Database } from '../../store/database.ts'
import { lockUsers } from '../../store/locks.ts'
import { type PresenceViews } from './presence-views.ts'
import { type Wakes } from '../deliver/wakes.ts'

const MAX_BLOCKS = 10_000

export interface Blocks {
  /** Blocking a user again changes nothing. Throws `invalid` for oneself, `conflict` beyond 10,000. */
  block (userId: string, otherId: string): Promise<void>
  unblock (userId: string, otherId: string): Promise<void>
}

export function createBlocks ({ database, presenceViews, wakes }: {
  database: Database, presenceViews: PresenceViews, wakes: Pick<Wakes, 'live'>
}): Blocks {
  // After each request, changed or not: one that failed here is sent again and tells it then.
  async function tellPresence (one: string, other: string): Promise<void> {
    for (const [viewer, seen] of [[one, other], [other, one]] as const) {
      const presence = await presenceViews.find(viewer, seen)
      if (presence !== undefined) {
        wakes.live([viewer], Buffer.from(JSON.stringify({ type: 'presence', ...presence })))
      }
    }
  }

  return {
    async block (userId, otherId) {
      requireOther(userId, otherId)
      await database.transact(async tx => {
        await noteBlock(tx, directKeyOf(userId, otherId))
        await lockUsers(tx, [userId])
        const added = await insertBlock(tx, { blocker_user_id: userId, blocked_user_id: otherId })
        if (added && await countBlocks(tx, userId) > MAX_BLOCKS) throw tooManyBlocks()
      })
      await tellPresence(userId, otherId)
    },
    async unblock (userId, otherId) {
      requireOther(userId, otherId)
      await database.transact(async tx => {
        await noteBlock(tx, directKeyOf(userId, otherId))
        await deleteBlock(tx, { blocker_user_id: userId, blocked_user_id: otherId })
      })
      await tellPresence(userId, otherId)
    }
  }
}

function requireOther (userId: string, otherId: string): void {
  if (userId === otherId) throw invalid('invalid_block', 'a user cannot block themselves')
}

const tooManyBlocks = (): AppError =>
  new AppError('conflict', 'too_many_blocks', `at most ${MAX_BLOCKS} users can be blocked`)
