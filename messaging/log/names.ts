/** The names that events about participants carry: looked up for all events of one change or page at once. */
import { type Executor } from '../../store/database.ts'
import { type AppendedEvent } from '../../store/log/inbox.ts'
import { userNames } from '../../store/people/users.ts'
import { type WakeEvent } from '../deliver/wakes.ts'
import { type Referred, refersTo, type StoredEvent, wakesFor } from './render.ts'

/** By user id; one object a user, so that events that say the same share their body. */
export type Names = Map<string, Referred>

export async function namesFor (db: Executor, events: StoredEvent[]): Promise<Names> {
  const ids = new Set(events.filter(({ type }) => refersTo(type) === 'name').map(subject))
  if (ids.size === 0) return new Map()
  const names = await userNames(db, [...ids])
  return new Map([...ids].map(id => [id, { name: names.get(id) ?? null }]))
}

export const nameIn = (names: Names, event: StoredEvent): Referred | undefined =>
  refersTo(event.type) === 'name' ? names.get(subject(event)) : undefined

/** Wakes for events that carry names, in the caller's transaction. */
export async function wakesWithNames (
  tx: Executor, epoch: string, events: AppendedEvent[]
): Promise<WakeEvent[]> {
  const names = await namesFor(tx, events)
  return wakesFor(epoch, events, event => nameIn(names, event))
}

const subject = ({ data }: StoredEvent): string => String(data?.user_id)
