/**
 * What an answer or an event makes of the outbox and of the copy. An entry leaves the outbox
 * in the change that shows what it did: with the answer where that can be applied at once, else
 * with the event.
 */
import { apply, put } from '../model/apply.ts'
import { findMessage } from '../model/copy.ts'
import { type Copy } from '../model/held.ts'
import { readUpTo, withNothingBelow } from '../model/unread.ts'
import { type Saved } from '../state/saved.ts'
import { type Change, type Refusal } from '../wire/events.ts'
import { type Message } from '../wire/views.ts'
import { isMessage, without, withEntry, type Outbox, type OutboxEntry } from '../model/outbox.ts'

/** An event applied. What it confirms or makes pointless leaves the outbox with it. */
export function afterEvent (saved: Saved, event: Change): Saved {
  const { userId } = saved.copy
  const settled = ({ id, state, command }: OutboxEntry): boolean => {
    switch (event.type) {
      case 'message_sent':
        return id === event.message.client_message_id
      case 'message_deleted':
        return 'message_id' in command && command.kind !== 'read' && command.message_id === event.message_id
      case 'reaction_added':
      case 'reaction_removed':
        return state === 'accepted' && command.kind === 'react' && event.user_id === userId &&
          command.message_id === event.message_id && command.emoji === event.emoji &&
          command.on === (event.type === 'reaction_added')
      case 'participant_removed':
        return state === 'accepted' && event.user_id === userId &&
          command.conversation_id === event.conversation_id
      default:
        return false
    }
  }
  return { ...saved, copy: apply(saved.copy, event), outbox: withoutAll(saved.outbox, settled) }
}

/**
 * The server has the message. The event that shows it is still to come, unless the snapshot had it
 * already: then the conversation is past it.
 */
export function afterAccepted (saved: Saved, id: string, message: Message): Saved {
  const entry = saved.outbox.get(id)
  if (entry === undefined) return saved
  const conversation = saved.copy.conversations.get(message.conversation_id)
  if (conversation === undefined || message.seq <= conversation.last_seq) {
    return afterEvent(saved, { type: 'message_sent', message })
  }
  return { ...saved, outbox: withEntry(saved.outbox, { ...entry, state: 'accepted', error: undefined }) }
}

/**
 * The server has read up to there, and the event that tells so changes nothing more. Where the device
 * does not hold what was read, the event moves the mark, and nothing is counted until then.
 */
export function afterRead (saved: Saved, { id, created_at, command }: OutboxEntry): Saved {
  if (command.kind !== 'read' || !saved.outbox.has(id)) return saved
  const { conversation_id, message_id, seq } = command
  const { copy, copy: { userId: reader_id } } = saved
  const outbox = without(saved.outbox, id)
  const conversation = copy.conversations.get(conversation_id)
  if (conversation === undefined) return { ...saved, outbox }
  const up_to_seq = readUpTo(reader_id, conversation, seq)
  if (up_to_seq === undefined) {
    const read = seq >= conversation.held_from - 1
    return { ...saved, copy: read ? put(copy, withNothingBelow(conversation)) : copy, outbox }
  }
  const read = { message_id, conversation_id, reader_id, up_to_seq, read_at: created_at }
  return { ...saved, copy: apply(copy, { type: 'message_read', ...read }), outbox }
}

/** The message as it is once edited. */
export const afterEdit = (saved: Saved, id: string, message: Message): Saved => ({
  ...saved,
  copy: apply(saved.copy, { type: 'message_edited', message }),
  outbox: without(saved.outbox, id)
})

/**
 * A reaction or a deletion was done. Only the event says in which order reactions stand and
 * when the message was deleted.
 */
export function afterChange (saved: Saved, id: string): Saved {
  const entry = saved.outbox.get(id)
  if (entry === undefined) return saved
  return {
    ...saved,
    outbox: isShown(saved.copy, entry)
      ? without(saved.outbox, id)
      : withEntry(saved.outbox, { ...entry, state: 'accepted' })
  }
}

function isShown (copy: Copy, { command }: OutboxEntry): boolean {
  if (command.kind !== 'react' && command.kind !== 'unsend') return true
  const message = findMessage(copy, command.message_id)?.message
  if (message === undefined || message.deleted_at !== null) return true
  if (command.kind === 'unsend') return false
  return command.on === message.reactions.some(({ user_id, emoji }) =>
    user_id === copy.userId && emoji === command.emoji)
}

/** A message stays, for its author to see; a change that was refused is no more. */
export function afterRefused (saved: Saved, { id }: OutboxEntry, error: Refusal): Saved {
  const entry = saved.outbox.get(id)
  if (entry === undefined) return saved
  return {
    ...saved,
    outbox: isMessage(entry)
      ? withEntry(saved.outbox, { ...entry, state: 'failed', error })
      : without(saved.outbox, id)
  }
}

/**
 * After a snapshot no event tells of what came before it: what is not held now is sent again,
 * which is harmless, and answered anew.
 */
export function afterSnapshot (outbox: Outbox, copy: Copy): Outbox {
  const left = withoutHeld(outbox, copy)
  return new Map([...left].map(([id, entry]) =>
    [id, entry.state === 'accepted' ? { ...entry, state: 'waiting' } : entry]))
}

/** Messages that came with a snapshot or a page of history wait no longer. */
export function withoutHeld (outbox: Outbox, { userId, conversations }: Copy): Outbox {
  if (![...outbox.values()].some(isMessage)) return outbox
  const held = new Set<string | null>()
  for (const { messages } of conversations.values()) {
    for (const { sender_user_id, client_message_id } of messages.values()) {
      if (sender_user_id === userId) held.add(client_message_id)
    }
  }
  return withoutAll(outbox, entry => isMessage(entry) && held.has(entry.id))
}

function withoutAll (outbox: Outbox, gone: (entry: OutboxEntry) => boolean): Outbox {
  const left = [...outbox].filter(([, entry]) => !gone(entry))
  return left.length === outbox.size ? outbox : new Map(left)
}
