/**
 * Events about participants. They carry what a client needs to keep its copy of
 * the conversation; the name is not stored with them but read when they are
 * rendered, so that replays know no name that was changed or erased since.
 */
import { encodeBody, type EventType } from '../../core/events.ts'
import { type Executor } from '../../store/database.ts'
import { type AppendedEvent, type InboxRow, type NewEvent } from '../../store/log/inbox.ts'
import { userNames } from '../../store/people/users.ts'
import { referenceFields } from './render.ts'
import { type WakeEvent } from '../deliver/wakes.ts'

/** Carry the name of the participant they are about. */
const NAMED: ReadonlySet<EventType> = new Set(['participant_added', 'participant_updated'])

/** Rendered from the conversation's present state, by whoever reads the log. */
export const CARRIES_CONVERSATION: ReadonlySet<EventType> =
  new Set(['conversation_created', 'conversation_updated'])

type Named = Pick<InboxRow, 'type' | 'conversation_id' | 'data'> | NewEvent
export type Names = Map<string, string | null>

/** The names that rendering these events takes. */
export async function namesFor (db: Executor, events: Named[]): Promise<Names> {
  const ids = new Set(events.filter(event => NAMED.has(event.type)).map(subject))
  return ids.size === 0 ? new Map() : await userNames(db, [...ids])
}

/** The fields of an event made of references, with the name where it carries one. */
export const fieldsWithNames = (event: Named, names: Names): object => {
  const fields = referenceFields({ ...event, conversation_id: event.conversation_id })
  return NAMED.has(event.type) ? { ...fields, name: names.get(subject(event)) ?? null } : fields
}

/** Wakes for changes of conversations: with the event where it is the same for everybody. */
export async function wakesWithNames (
  tx: Executor, epoch: string, events: AppendedEvent[]
): Promise<WakeEvent[]> {
  const names = await namesFor(tx, events)
  return events.map(event => CARRIES_CONVERSATION.has(event.type)
    ? { userId: event.user_id, seq: event.seq }
    : {
        userId: event.user_id,
        seq: event.seq,
        body: encodeBody(epoch, event.type, fieldsWithNames(event, names))
      })
}

const subject = (event: Named): string => String(event.data?.user_id)
