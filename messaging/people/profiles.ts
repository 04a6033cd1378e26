/**
 * The name of a user: their own choice, or the `name` of their tokens. Others
 * keep copies of it with the conversations they share, so a change is an event
 * there; those who read a log later are told the name as it is by then.
 */
import { type Identity } from '../../core/identity.ts'
import { type Database, type Executor } from '../../store/database.ts'
import { appendEvents, type NewEvent } from '../../store/log/inbox.ts'
import { findName, nameAudience, setName, type StoredName } from '../../store/people/profiles.ts'
import { meetUsers } from '../../store/people/users.ts'
import { lockUsers } from '../../store/locks.ts'
import { createAnnounce } from '../log/announce.ts'
import { type WakeEvent } from '../deliver/wakes.ts'
import { createSetQueue } from '../set-queue.ts'

type Claims = Pick<Identity, 'userId' | 'name' | 'issuedAt'>

export interface Profiles {
  /** The user's own choice: tokens issued until now do not change it back. */
  rename (userId: string, name: string): Promise<void>
  /** Creates the user when new; the token's name becomes theirs unless they got one after it was issued. */
  meet (claims: Claims): Promise<void>
}

export function createProfiles ({ database, epoch, wake, now }: {
  database: Database, epoch: () => string, wake: (events: WakeEvent[]) => void, now: () => number
}): Profiles {
  const announce = createAnnounce({ database, epoch, wake })

  /** `choose` decides under the user's lock. */
  async function change (
    userId: string, choose: (current: StoredName) => StoredName | undefined
  ): Promise<void> {
    await announce(await database.transact(async tx => {
      const audience = await nameAudience(tx, userId)
      await lockUsers(tx, [...new Set([userId, ...audience.map(member => member.user_id)])])
      const current = await findName(tx, userId)
      const next = current === undefined ? undefined : choose(current)
      if (current === undefined || next === undefined) return []
      await setName(tx, userId, next)
      if (next.name === current.name) return []
      return await appendEvents(tx, await nameEvents(tx, userId), new Date(now()))
    }))
  }

  // A user who is created here has no conversation yet, so no other user is told their name.
  const meetings = createSetQueue<Claims, StoredName>({
    async run (people) {
      const asked = new Map(people.map(claims =>
        [claims.userId, { id: claims.userId, ...nameFromToken(claims, NAMELESS) ?? NAMELESS }]))
      const met = await meetUsers(database.opening, [...asked.values()])
      return people.map(({ userId }) => met.get(userId) ?? new Error('a user could not be created'))
    }
  })

  return {
    async rename (userId, name) {
      await change(userId, () => ({ name, name_changed_at: new Date(now()) }))
    },
    async meet (claims) {
      const current = await meetings.run(claims)
      // Nearly always the name is known, and nothing needs a lock.
      if (nameFromToken(claims, current) === undefined) return
      await change(claims.userId, current => nameFromToken(claims, current))
    }
  }
}

// Read again under the user's lock: letting a user into a conversation takes that lock
// too, so these are all who could have seen the former name.
async function nameEvents (tx: Executor, userId: string): Promise<NewEvent[]> {
  const audience = await nameAudience(tx, userId)
  return audience.map(member => ({
    user_id: member.user_id,
    type: 'participant_updated',
    conversation_id: member.conversation_id,
    data: { user_id: userId }
  }))
}

const NAMELESS: StoredName = { name: null, name_changed_at: null }

/**
 * Two tokens with different names do not take turns: only one issued in a later
 * second than the present name changes it. One without a date names only a user without a name.
 */
function nameFromToken ({ name, issuedAt }: Claims, current: StoredName): StoredName | undefined {
  if (name === undefined || name === current.name) return undefined
  const issued = new Date(Math.floor(issuedAt ?? NaN) * 1_000)
  if (Number.isNaN(issued.getTime())) {
    return current.name === null ? { name, name_changed_at: current.name_changed_at } : undefined
  }
  return current.name_changed_at === null || issued > current.name_changed_at
    ? { name, name_changed_at: issued }
    : undefined
}
