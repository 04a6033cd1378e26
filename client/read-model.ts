/** What an application shows: always whole, always from this device, without waiting. */
import { inOrder } from './model/copy.ts'
import { type HeldConversation } from './model/held.ts'
import { shownLast, shownMessages, shownUnread, type ShownMessage } from './model/shown.ts'
import { inTurn, isMessage, type Outbox, type OutboxEntry } from './model/outbox.ts'
import { type ConnectionState } from './connection/connection.ts'
import { type Typing } from './live/typing.ts'
import { type Watching } from './live/presence.ts'
import { type Saved } from './state/saved.ts'
import { type Conversation, type Presence } from './wire/views.ts'

export interface ShownConversation extends Omit<Conversation, 'last_message' | 'unread_count'> {
  /** What waits in the outbox counts as sent, or read. */
  last_message: ShownMessage | null
  unread_count: number
  /** In a direct conversation, the other one. */
  partner_id: string | null
  /** User ids of those who are typing. */
  typing: string[]
  draft: string
  /** Messages that wait in the outbox, failed ones too. */
  waiting: number
  /** There are messages before those that are held: `loadOlder` brings them. */
  has_older: boolean
}

export interface ReadModel {
  readonly connection: ConnectionState
  /** False until the first snapshot is there. */
  readonly ready: boolean
  /** Last activity first. */
  conversations (): ShownConversation[]
  conversation (id: string): ShownConversation | undefined
  /** Those that are held, oldest first, and what waits in the outbox. The same array until one changes. */
  messages (conversationId: string): ShownMessage[]
  /** Over all conversations. */
  unread (): number
  /** Known of people whom the user shares a direct conversation with, once `watchPresence` names them. */
  presence (userId: string): Presence | undefined
  draft (conversationId: string): string
  outbox (): OutboxEntry[]
}

export interface ReadModelDeps {
  saved (): Saved
  connection (): ConnectionState
  typing: Pick<Typing, 'in'>
  presence: Pick<Watching, 'of'>
}

export function createReadModel ({ saved, connection, typing, presence }: ReadModelDeps): ReadModel {
  const shown = new Map<string, { of: HeldConversation, outbox: Outbox, messages: ShownMessage[] }>()

  function show (conversation: HeldConversation): ShownConversation {
    const { outbox, drafts, copy: { userId } } = saved()
    const { messages, held_from, unread_below, recount, ...rest } = conversation
    return {
      ...rest,
      last_message: shownLast(userId, conversation, outbox),
      unread_count: shownUnread(userId, conversation, outbox),
      partner_id: conversation.type === 'direct'
        ? conversation.participants.find(({ user_id }) => user_id !== userId)?.user_id ?? null
        : null,
      typing: typing.in(conversation.id),
      draft: drafts.get(conversation.id)?.content ?? '',
      waiting: [...outbox.values()].filter(entry =>
        isMessage(entry) && entry.command.conversation_id === conversation.id).length,
      has_older: held_from > 0
    }
  }

  return {
    get connection () { return connection() },
    get ready () { return saved().place !== undefined },
    conversations: () => inOrder(saved().copy).map(show),
    conversation (id) {
      const held = saved().copy.conversations.get(id)
      return held && show(held)
    },
    messages (id) {
      const { copy, outbox } = saved()
      const of = copy.conversations.get(id)
      if (of === undefined) return []
      const last = shown.get(id)
      if (last?.of === of && last.outbox === outbox) return last.messages
      const messages = shownMessages(copy.userId, of, outbox)
      shown.set(id, { of, outbox, messages })
      return messages
    },
    unread: () => {
      const { copy, outbox } = saved()
      return [...copy.conversations.values()]
        .reduce((sum, conversation) => sum + shownUnread(copy.userId, conversation, outbox), 0)
    },
    presence: presence.of,
    draft: id => saved().drafts.get(id)?.content ?? '',
    outbox: () => inTurn(saved().outbox)
  }
}
