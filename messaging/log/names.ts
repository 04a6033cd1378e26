/** The names that events about participants carry: looked up for all events of one change or page at once. */
import { type Executor } from '../../store/database.ts'
import { type AppendedEvent } from '../../store/log/inbox.ts'
import { userNames } from '../../store/people/users.ts'
import { type WakeEvent } from '../deliver/wakes.ts'
import { type Referred, refersTo, type StoredEvent, wakesFor } from './render.ts'

export type Names = Map<string, string | null>

export async function namesFor (db: Executor, events: StoredEvent[]): Promise<Names> {
  const ids = new Set(events.filter(({ type }) => refersTo(type) === 'name').map(subject))
  return ids.size === 0 ? new Map() : await userNames(db, [...ids])
}

export const nameIn = (names: Names, event: StoredEvent): Referred =>
  refersTo(event.type) === 'name' ? { name: names.get(subject(event)) ?? null } : {}

/** Wakes for events that carry names, in the caller's transaction. */
export async function wakesWithNames (
  tx: Executor, epoch: string, events: AppendedEvent[]
): Promise<WakeEvent[]> {
  const names = await namesFor(tx, events)
  return wakesFor(epoch, events, event => refersTo(event.type) === 'name' ? nameIn(names, event) : undefined)
}

const subject = ({ data }: StoredEvent): string => String(data?.user_id)
