/**
 * What a user is shown: the copy, with what waits in the outbox laid over it. An entry
 * leaves the outbox in the change that brings what it did, so nothing is shown twice or flickers.
 */
import { inTurn, isMessage, type MessageEntry, type Outbox, type OutboxEntry } from './outbox.ts'
import { type Refusal } from '../wire/events.ts'
import { type Message } from '../wire/views.ts'
import { messagesInOrder } from './copy.ts'
import { type HeldConversation } from './held.ts'
import { tombstone, withoutReaction, withReaction } from './messages.ts'
import { statusOf } from './status.ts'
import { ownMark, unreadCount } from './unread.ts'

/** How far an own message has got. */
export type Tick = 'waiting' | 'sent' | 'delivered' | 'read' | 'failed'

export interface ShownMessage extends Omit<Message, 'id' | 'seq' | 'status'> {
  /** The same before and after the server has accepted it. */
  key: string
  /** Null while it waits in the outbox; its `key` is the entry then. */
  id: string | null
  seq: number | null
  own: boolean
  /** Null for messages of others. */
  tick: Tick | null
  /** Why it failed. */
  error: Refusal | null
  /** A change of it waits in the outbox. */
  changing: boolean
}

/** Oldest first; what waits comes last. */
export function shownMessages (
  userId: string, conversation: HeldConversation, outbox: Outbox
): ShownMessage[] {
  const entries = inTurn(outbox).filter(({ command }) => command.conversation_id === conversation.id)
  const held = messagesInOrder(conversation).map(message => shownHeld(userId, conversation, message, entries))
  const keys = new Set(held.filter(message => message.own).map(message => message.key))
  return [...held, ...entries.filter(isMessage).filter(({ id }) => !keys.has(id))
    .map(entry => shownEntry(userId, entry))]
}

export function shownLast (
  userId: string, conversation: HeldConversation, outbox: Outbox
): ShownMessage | null {
  const entries = inTurn(outbox).filter(({ command }) => command.conversation_id === conversation.id)
  const waiting = entries.filter(isMessage).at(-1)
  if (waiting !== undefined) return shownEntry(userId, waiting)
  const last = messagesInOrder(conversation).at(-1)
  return last === undefined ? null : shownHeld(userId, conversation, last, entries)
}

/** As it will be once the user's read receipts have gone out. */
export function shownUnread (userId: string, conversation: HeldConversation, outbox: Outbox): number {
  let mark = ownMark(userId, conversation)
  for (const { command } of outbox.values()) {
    if (command.kind === 'read' && command.conversation_id === conversation.id) {
      mark = Math.max(mark, command.seq)
    }
  }
  return unreadCount(userId, conversation, mark)
}

function shownHeld (
  userId: string, conversation: HeldConversation, message: Message, entries: OutboxEntry[]
): ShownMessage {
  const own = message.sender_user_id === userId
  const changes = entries.filter(({ command, state }) =>
    'message_id' in command && command.message_id === message.id && command.kind !== 'read' &&
    state !== 'failed')
  const { status, ...shown } = changes.reduce((before, entry) => afterwards(userId, before, entry), message)
  return {
    ...shown,
    key: (own ? message.client_message_id : null) ?? message.id,
    own,
    tick: own ? statusOf(userId, conversation, message) : null,
    error: null,
    changing: changes.length > 0
  }
}

/** The message as it will be once this entry has gone out. */
function afterwards (userId: string, message: Message, { command, created_at }: OutboxEntry): Message {
  if (message.deleted_at !== null) return message
  switch (command.kind) {
    case 'edit':
      return { ...message, content: command.content, mentions: command.mentions, edited_at: created_at }
    case 'unsend':
      return tombstone(message, created_at)
    case 'react': {
      const reaction = { user_id: userId, emoji: command.emoji }
      const change = command.on ? withReaction : withoutReaction
      return { ...message, reactions: change(message.reactions, reaction) }
    }
    default:
      return message
  }
}

function shownEntry (userId: string, { id, created_at, state, error, command }: MessageEntry): ShownMessage {
  const { kind, ...message } = command
  return {
    ...message,
    key: id,
    id: null,
    seq: null,
    sender_user_id: userId,
    reactions: [],
    client_message_id: id,
    created_at,
    edited_at: null,
    deleted_at: null,
    own: true,
    tick: state === 'accepted' ? 'sent' : state,
    error: error ?? null,
    changing: false
  }
}
