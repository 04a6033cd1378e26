/** What the user did and the server has not confirmed yet: entries, and the order they have. */
import { type Refusal } from '../wire/events.ts'
import { type Attachment, type Mention, type MessageType } from '../wire/views.ts'

export interface SendCommand {
  kind: 'send'
  conversation_id: string
  content: string
  message_type: MessageType
  mentions: Mention[]
  reply_to_id: string | null
  /** As their upload answered; shown while the message waits. */
  attachments: Attachment[]
}

export type OutboxCommand =
  | SendCommand
  | { kind: 'edit', conversation_id: string, message_id: string, content: string, mentions: Mention[] }
  | { kind: 'unsend', conversation_id: string, message_id: string }
  | { kind: 'react', conversation_id: string, message_id: string, emoji: string, on: boolean }
  /** This message and all earlier ones; `seq` is the message's. */
  | { kind: 'read', conversation_id: string, message_id: string, seq: number }

/**
 * waiting   goes out as soon as it can
 * accepted  the server has it; the event that shows it has not come yet
 * failed    refused for good: the user may try again or discard it
 */
export interface OutboxEntry {
  /** The `client_message_id` of a message. */
  id: string
  /** Entries go out in this order. */
  position: number
  created_at: string
  state: 'waiting' | 'accepted' | 'failed'
  error?: Refusal
  command: OutboxCommand
}

export type Outbox = ReadonlyMap<string, OutboxEntry>

export type MessageEntry = OutboxEntry & { command: SendCommand }

export const isMessage = (entry: OutboxEntry): entry is MessageEntry => entry.command.kind === 'send'

export const inTurn = (outbox: Outbox): OutboxEntry[] =>
  [...outbox.values()].sort((a, b) => a.position - b.position)

export type NewEntry = Omit<OutboxEntry, 'position' | 'state'> & Partial<OutboxEntry>

/** A new entry at the end. Of two read receipts in a conversation, the one that says more is enough. */
export function enqueued (
  outbox: Outbox, { state = 'waiting', ...entry }: NewEntry
): Outbox {
  const { command } = entry
  const others = [...outbox.values()]
  const reads = others.flatMap(({ id, command: other }) =>
    command.kind === 'read' && other.kind === 'read' && other.conversation_id === command.conversation_id
      ? [{ id, more: other.seq >= command.seq }]
      : [])
  if (reads.some(({ more }) => more)) return outbox
  const position = 1 + Math.max(0, ...others.map(other => other.position))
  return new Map([
    ...others.filter(({ id }) => !reads.some(read => read.id === id))
      .map(other => [other.id, other] as const),
    [entry.id, { ...entry, position, state }]
  ])
}

export function without (outbox: Outbox, id: string): Outbox {
  if (!outbox.has(id)) return outbox
  const rest = new Map(outbox)
  rest.delete(id)
  return rest
}

export function withEntry (outbox: Outbox, entry: OutboxEntry): Outbox {
  return outbox.has(entry.id) ? new Map(outbox).set(entry.id, entry) : outbox
}
