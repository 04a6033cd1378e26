/**
 * What each type of event says. This is the one place that knows it: events that
 * are told live, while their change is committed, and events that a replay reads
 * from the log later are rendered by the same code.
 *
 * The log keeps references (conversation, message, small data); what they lead to
 * is looked up when the event is rendered, so edits and tombstones hold in replays.
 */
import { encodeBody, type EventBody, type EventType } from '../../core/events.ts'
import { type ConversationView, type MessageView } from '../../core/views.ts'
import { type AppendedEvent } from '../../store/log/inbox.ts'
import { type WakeEvent } from '../deliver/wakes.ts'

/** An event as the log keeps it. */
export interface StoredEvent {
  type: EventType
  conversation_id: string | null
  message_id?: string | null
  data?: Record<string, unknown> | null
}

/** What an event refers to, as its reader may see it; absent where it was not looked up. */
export interface Referred {
  message?: MessageView
  /** Null: the reader may not see the conversation any more. */
  conversation?: ConversationView | null
  name?: string | null
}

interface Rendering {
  /** What has to be looked up before the event can be rendered. */
  refersTo: 'message' | 'conversation' | 'name' | 'nothing'
  /** The fields that the log keeps in `data`; nothing else of it is shown. */
  stores: readonly string[]
  /** What the event says besides its type; undefined while what it carries was not looked up. */
  fields (event: StoredEvent, referred: Referred, stores: readonly string[]): object | undefined
  /** The type that takes its place in a replay once its message is deleted; its own by default. */
  onceDeleted?: EventType
}

const carriesMessage: Rendering = {
  refersTo: 'message',
  stores: [],
  fields: (_event, { message }) => message && { message }
}

// Every reader sees a conversation with their own marks in it.
const carriesConversation: Rendering = {
  refersTo: 'conversation',
  stores: [],
  fields: (_event, { conversation }) => conversation === undefined ? undefined : { conversation }
}

const tells = (...stores: string[]): Rendering =>
  ({ refersTo: 'nothing', stores, fields: (event, _referred, stores) => references(event, stores) })

// The name is looked up, not stored: replays show no name that was changed or erased since.
const tellsOfParticipant = (...stores: string[]): Rendering => ({
  refersTo: 'name',
  stores,
  fields: (event, { name }, stores) => ({ ...references(event, stores), name: name ?? null })
})

const RENDERINGS: Record<EventType, Rendering> = {
  new_message: carriesMessage,
  message_sent: carriesMessage,
  message_edited: carriesMessage,
  message_deleted: tells('deleted_at'),
  message_delivered: tells('user_id', 'up_to_seq', 'delivered_at'),
  message_read: tells('reader_id', 'up_to_seq', 'read_at'),
  reaction_added: { ...tells('user_id', 'emoji'), onceDeleted: 'message_deleted' },
  reaction_removed: { ...tells('user_id', 'emoji'), onceDeleted: 'message_deleted' },
  conversation_created: carriesConversation,
  conversation_updated: carriesConversation,
  participant_added: tellsOfParticipant(
    'user_id', 'role', 'can_send_messages', 'joined_at', 'last_delivered_seq', 'last_read_seq',
    'participant_count'),
  participant_removed: tells('user_id', 'left_at', 'participant_count'),
  participant_updated: tellsOfParticipant('user_id', 'role', 'can_send_messages'),
  resync_required: tells()
}

export const refersTo = (type: EventType): Rendering['refersTo'] => RENDERINGS[type].refersTo

/**
 * Undefined when the event differs by reader and was not rendered for this one: its listeners read the log.
 */
export function renderLive (
  epoch: string, event: StoredEvent, referred: Referred = {}
): EventBody | undefined {
  const { fields, stores } = RENDERINGS[event.type]
  const said = fields(event, referred, stores)
  return said && encodeBody(epoch, event.type, said)
}

/** The event as it stands in the log, with what it refers to as it is by now. */
export function renderReplay (epoch: string, event: StoredEvent, referred: Referred): EventBody {
  const { onceDeleted } = RENDERINGS[event.type]
  const { message } = referred
  // Of a deleted message a replay tells only that it was deleted.
  const gone = onceDeleted !== undefined && message?.deleted_at != null
  const shown = gone ? { ...event, type: onceDeleted, data: { deleted_at: message.deleted_at } } : event
  return renderLive(epoch, shown, { conversation: null, ...referred }) ??
    encodeBody(epoch, event.type, references(event, []))
}

/** Wakes that carry their event wherever it is known what it refers to. Equal neighbours share one body. */
export function wakesFor (
  epoch: string, events: AppendedEvent[], referredOf: (event: AppendedEvent) => Referred | undefined = () =>
    undefined
): WakeEvent[] {
  let last: { event: AppendedEvent, referred: Referred | undefined, body: EventBody | undefined } | undefined
  return events.map(event => {
    const referred = referredOf(event)
    if (last === undefined || referred !== last.referred || !saysTheSame(event, last.event)) {
      last = { event, referred, body: renderLive(epoch, event, referred) }
    }
    return { userId: event.user_id, seq: event.seq, body: last.body }
  })
}

const saysTheSame = (one: StoredEvent, other: StoredEvent): boolean =>
  one.type === other.type && one.data === other.data && one.message_id === other.message_id &&
  one.conversation_id === other.conversation_id

function references ({ message_id, conversation_id, data }: StoredEvent, stores: readonly string[]): object {
  const fields: Record<string, unknown> = {}
  if (message_id != null) fields.message_id = message_id
  if (conversation_id !== null) fields.conversation_id = conversation_id
  for (const name of stores) if (data?.[name] !== undefined) fields[name] = data[name]
  return fields
}
