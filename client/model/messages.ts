/** What events do to messages. Applying again what is known changes nothing. */
import { type Change } from '../wire/events.ts'
import { type DeliveryState, type Message, type Reaction } from '../wire/views.ts'

type Messages = ReadonlyMap<string, Message>

const RANK: Record<DeliveryState, number> = { sent: 0, delivered: 1, read: 2 }
export const higher = (a: DeliveryState, b: DeliveryState): DeliveryState => RANK[a] > RANK[b] ? a : b

/** Changes of messages that are held; nothing else of the event. */
export function changed (messages: Messages, event: Change): Messages {
  switch (event.type) {
    case 'message_edited':
      return messages.has(event.message.id) ? withMessage(messages, event.message) : messages
    case 'message_deleted':
      return withChange(messages, event.message_id, message => tombstone(message, event.deleted_at))
    case 'reaction_added':
      return withChange(messages, event.message_id, message =>
        ({ ...message, reactions: withReaction(message.reactions, event) }))
    case 'reaction_removed':
      return withChange(messages, event.message_id, message =>
        ({ ...message, reactions: withoutReaction(message.reactions, event) }))
    default:
      return messages
  }
}

/** A tombstone is final, and a status never falls. */
export function withMessage (messages: Messages, message: Message): Messages {
  const held = messages.get(message.id)
  if (held !== undefined && held.deleted_at !== null) return messages
  const merged = held === undefined ? message : { ...message, status: higher(held.status, message.status) }
  return new Map(messages).set(message.id, merged)
}

export const tombstone = (message: Message, deletedAt: string): Message => ({
  ...message,
  content: null,
  mentions: [],
  attachments: [],
  reactions: [],
  edited_at: null,
  deleted_at: deletedAt
})

const sameReaction = (a: Reaction, b: Reaction): boolean => a.user_id === b.user_id && a.emoji === b.emoji

export const withReaction = (reactions: Reaction[], { user_id, emoji }: Reaction): Reaction[] =>
  reactions.some(reaction => sameReaction(reaction, { user_id, emoji }))
    ? reactions
    : [...reactions, { user_id, emoji }]

export const withoutReaction = (reactions: Reaction[], removed: Reaction): Reaction[] =>
  reactions.filter(reaction => !sameReaction(reaction, removed))

function withChange (messages: Messages, id: string, change: (message: Message) => Message): Messages {
  const message = messages.get(id)
  if (message === undefined || message.deleted_at !== null) return messages
  return new Map(messages).set(id, change(message))
}
