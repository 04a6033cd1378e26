/**
 * The name of a user: their own choice, or the `name` of their tokens. Others
 * keep copies of it with the conversations they share, so a change is an event
 * there; those who read a log later are told the name as it is by then.
 */
import { type Identity } from '../../core/identity.ts'
import { type Database } from '../../store/database.ts'
import { findName, setName, type StoredName } from '../../store/people/profiles.ts'
import { meetUsers } from '../../store/people/users.ts'
import { createSetQueue } from '../set-queue.ts'
import { type NameTelling } from './name-telling.ts'

type Claims = Pick<Identity, 'userId' | 'name' | 'issuedAt'>

export interface Profiles {
  /** The user's own choice: tokens issued until now do not change it back. */
  rename (userId: string, name: string): Promise<void>
  /** Creates the user when new; the token's name becomes theirs unless they got one after it was issued. */
  meet (claims: Claims): Promise<void>
}

export function createProfiles ({ database, telling, now }: {
  database: Database, telling: NameTelling, now: () => number
}): Profiles {
  /** `choose` decides under the user's lock. */
  async function change (
    userId: string, choose: (current: StoredName) => StoredName | undefined
  ): Promise<void> {
    const told = await database.transact(async tx => {
      await telling.lock(tx, userId)
      const current = await findName(tx, userId)
      const next = current === undefined ? undefined : choose(current)
      if (current === undefined || next === undefined) return undefined
      await setName(tx, userId, next)
      return next.name === current.name ? undefined : await telling.begin(tx, userId)
    })
    if (told !== undefined) await telling.goOn(userId, told)
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
