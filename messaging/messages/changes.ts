/**
 * What becomes of a message: edits, deletion for everyone, reactions. Each is
 * one transaction under the lock of the conversation, and an event for
 * each user who sees it.
 *
 * What a blocked user does in a direct conversation stays with them: a
 * reaction is hidden, and an edit takes the message from the other side, where
 * it is deleted. Deleting is never held back.
 */
import { AppError, invalid } from '../../core/errors.ts'
import { normaliseEmoji } from '../../core/emoji.ts'
import { type EventType } from '../../core/events.ts'
import { checkEdit, type Mention, type MessageEdit } from '../../core/message-rules.ts'
import { type MessageView } from '../../core/views.ts'
import { releaseAttachments } from '../../store/attachments.ts'
import { type Database, type Executor } from '../../store/database.ts'
import { appendEvents } from '../../store/log/inbox.ts'
import {
  deleteMessages, editMessage, findChangeable, readAudience, type ChangeableMessage
} from '../../store/messages/changes.ts'
import { findMessage, messageView } from '../../store/messages/messages.ts'
import {
  addReaction, countReactions, hasHiddenReactions, removeReaction
} from '../../store/messages/reactions.ts'
import { lockConversations, lockMembers } from '../../store/locks.ts'
import { requireVisible } from './history.ts'
import { sendingNotAllowed } from '../membership.ts'
import { type Referred, wakesFor } from '../log/render.ts'
import { createKeyedQueue } from '../keyed-queue.ts'
import { type WakeEvent } from '../deliver/wakes.ts'

const MAX_EDITS = 100
const MAX_REACTIONS_OF_USER = 20
const MAX_REACTIONS = 1_000

export interface MessageChanges {
  /**
   * The message afterwards. The same text again changes nothing.
   * Throws `invalid`, `not_found`, `forbidden` or `conflict`.
   */
  edit (actorId: string, messageId: string, edit: MessageEdit): Promise<MessageView>
  /** Leaves a tombstone, once. Throws `not_found` or `forbidden`. */
  delete (actorId: string, messageId: string): Promise<void>
  /** Throws `invalid` for what is not one emoji, `not_found`, `forbidden` or `conflict`. */
  react (actorId: string, messageId: string, emoji: string): Promise<void>
  unreact (actorId: string, messageId: string, emoji: string): Promise<void>
  drained (): Promise<void>
}

/** One event for several users. */
interface Notice {
  type: EventType
  to: string[]
  /** What the log keeps of it. */
  data?: Record<string, unknown>
  /** What it refers to. Absent where it differs by reader: then their listeners read it from the log. */
  referred?: Referred
}

interface Change<T> { notices: Notice[], result: T }
type Check = (message: ChangeableMessage | undefined, actorId: string) => ChangeableMessage

export function createMessageChanges ({ database, epoch, wake, now }: {
  database: Database, epoch: () => string, wake: (events: WakeEvent[]) => void, now: () => number
}): MessageChanges {
  const turns = createKeyedQueue()

  /** `check` refuses without a lock first, so that no conversation waits for what is not allowed. */
  async function change<T> (actorId: string, messageId: string, check: Check,
    work: (tx: Executor, message: ChangeableMessage, at: Date) => Promise<Change<T>>): Promise<T> {
    const { conversation_id } = check(await findChangeable(database.autocommit, messageId, actorId), actorId)
    return await turns.run(conversation_id, async () => {
      const { result, wakes } = await database.transact(async tx => {
        await lockConversations(tx, [conversation_id])
        const message = check(await findChangeable(tx, messageId, actorId), actorId)
        await lockMembers(tx, [conversation_id], [actorId])
        const at = new Date(now())
        const { notices, result } = await work(tx, message, at)
        const events = await appendEvents(tx, notices.flatMap(({ type, to, data }) =>
          to.map(user_id => ({ user_id, type, conversation_id, message_id: message.id, data }))), at)
        // The notices of one change have different types.
        const referred = new Map(notices.map(({ type, referred }) => [type, referred]))
        return { result, wakes: wakesFor(epoch(), events, ({ type }) => referred.get(type)) }
      })
      if (wakes.length > 0) wake(wakes)
      return result
    })
  }

  async function changeReaction (actorId: string, messageId: string, text: string,
    work: (
      tx: Executor, message: ChangeableMessage, emoji: string, at: Date
    ) => Promise<Notice | undefined>): Promise<void> {
    const emoji = normaliseEmoji(text)
    if (emoji === undefined) throw invalid('invalid_emoji', 'a reaction is exactly one emoji')
    await change(actorId, messageId, requireReactable, async (tx, message, at) => {
      const notice = await work(tx, message, emoji, at)
      return { notices: notice === undefined ? [] : [notice], result: undefined }
    })
  }

  return {
    async edit (actorId, messageId, edit) {
      checkEdit(edit)
      const { content, mentions = [] } = edit
      return await change(actorId, messageId, requireEditable, async (tx, message, at) => {
        const same = message.content === content && sameMentions(message.mentions, mentions)
        const notices = same ? [] : await replace(tx, message, at)
        const row = (await findMessage(tx, messageId, actorId))!
        // With hidden reactions on it the message differs by reader.
        const everywhere = notices.length > 0 && !await hasHiddenReactions(tx, messageId)
        if (everywhere) notices[0]!.referred = { message: messageView(row, 'sent') }
        return { notices, result: messageView(row, row.status) }
      })

      async function replace (tx: Executor, message: ChangeableMessage, at: Date): Promise<Notice[]> {
        if (message.versions >= MAX_EDITS) {
          throw new AppError('conflict', 'too_many_edits', `a message is edited at most ${MAX_EDITS} times`)
        }
        const audience = await readAudience(tx, message, actorId)
        const withdraw = seenByAll(message) && audience.some(member => member.blocks_actor)
        await editMessage(tx, message, { content, mentions, at, withdraw })
        const edited: Notice = {
          type: 'message_edited',
          to: withdraw || !seenByAll(message)
            ? [actorId]
            : audience.map(member => member.user_id)
        }
        if (!withdraw) return [edited]
        const others = audience.map(member => member.user_id).filter(id => id !== actorId)
        return [edited, { type: 'message_deleted', to: others, data: { deleted_at: at.toISOString() } }]
      }
    },

    delete: (actorId, messageId) => change(actorId, messageId, requireDeletable, async (tx, message, at) => {
      if (message.deleted) return { notices: [], result: undefined }
      const audience = await readAudience(tx, message, actorId)
      await deleteMessages(tx, [message.id], at)
      await releaseAttachments(tx, [message.id], at)
      const to = audience.map(member => member.user_id).filter(id => seenByAll(message) || id === actorId)
      return {
        notices: [{ type: 'message_deleted', to, data: { deleted_at: at.toISOString() } }], result: undefined
      }
    }),

    react: (actorId, messageId, text) => changeReaction(actorId, messageId, text, async (
      tx, message, emoji, at
    ) => {
      const { there, own, total } = await countReactions(tx, message.id, actorId, emoji)
      if (there) return undefined
      if (own >= MAX_REACTIONS_OF_USER || total >= MAX_REACTIONS) {
        throw new AppError('conflict', 'too_many_reactions',
          `a message has at most ${MAX_REACTIONS_OF_USER} reactions of one user and ${MAX_REACTIONS} in all`)
      }
      const audience = await readAudience(tx, message, actorId)
      const hidden = audience.some(member => member.blocks_actor)
      await addReaction(tx, { messageId: message.id, userId: actorId, emoji, hidden, at })
      const to = hidden || !seenByAll(message) ? [actorId] : audience.map(member => member.user_id)
      return { type: 'reaction_added', to, data: { user_id: actorId, emoji } }
    }),

    unreact: (actorId, messageId, text) => changeReaction(actorId, messageId, text, async (
      tx, message, emoji
    ) => {
      const removed = await removeReaction(tx, message.id, actorId, emoji)
      if (removed === undefined) return undefined
      const to = removed.hidden || !seenByAll(message)
        ? [actorId]
        : (await readAudience(tx, message, actorId)).map(member => member.user_id)
      return { type: 'reaction_removed', to, data: { user_id: actorId, emoji } }
    }),

    drained: turns.drained
  }
}

/** A message that is not seen by all is seen by its sender alone. */
const seenByAll = ({ hidden, withdrawn }: ChangeableMessage): boolean => !hidden && !withdrawn

const requireReactable: Check = (found, actorId) => {
  const message = requireVisible(found, actorId)
  if (message.deleted || (message.withdrawn && message.sender_user_id !== actorId)) throw messageDeleted()
  return message
}

const requireEditable: Check = (found, actorId) => {
  const message = requireVisible(found, actorId)
  if (message.sender_user_id !== actorId) {
    throw new AppError('forbidden', 'not_the_sender', 'only the sender may edit a message')
  }
  if (message.deleted) throw messageDeleted()
  if (message.can_send_messages !== true) throw sendingNotAllowed()
  return message
}

const requireDeletable: Check = (found, actorId) => {
  const message = requireVisible(found, actorId)
  if (message.sender_user_id !== actorId && message.role !== 'admin') {
    throw new AppError(
      'forbidden', 'not_the_sender', 'only the sender and admins of the group may delete a message'
    )
  }
  return message
}

const messageDeleted = (): AppError =>
  new AppError('conflict', 'message_deleted', 'the message has been deleted')

const sameMentions = (
  some: Mention[], others: Mention[]
): boolean => some.length === others.length && some.every((mention, i) => {
  const { user_id, offset, length } = others[i]!
  return mention.user_id === user_id && mention.offset === offset && mention.length === length
})
