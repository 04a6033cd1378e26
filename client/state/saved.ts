/** Everything a client keeps, as one value; and how two of them differ in rows of the store. */
import { type Drafts, type HeldDraft } from '../model/drafts.ts'
import { type HeldConversation, type Copy } from '../model/held.ts'
import { emptyCopy } from '../model/copy.ts'
import { cut } from '../model/window.ts'
import { type Outbox, type OutboxEntry } from '../model/outbox.ts'
import { type StoredChange, type Table, type Tables } from '../store/store.ts'
import { type Message } from '../wire/views.ts'

/** The last event that was applied, and the life of the database that its number belongs to. */
export interface Place { epoch: string, seq: number }

export interface Saved {
  /** Undefined before the first snapshot. */
  place: Place | undefined
  copy: Copy
  outbox: Outbox
  drafts: Drafts
}

export const emptySaved = (userId: string): Saved =>
  ({ place: undefined, copy: emptyCopy(userId), outbox: new Map(), drafts: new Map() })

const PLACE_KEY = 'inbox'
/** Messages of each conversation that survive a start; older ones are a page away. */
const KEPT_AT_START = 200

type ConversationRow = Omit<HeldConversation, 'messages'>

export function restored (userId: string, tables: Tables): Saved {
  const messages = new Map<string, Map<string, Message>>()
  for (const message of tables.messages.values() as Iterable<Message>) {
    let of = messages.get(message.conversation_id)
    if (of === undefined) messages.set(message.conversation_id, of = new Map())
    of.set(message.id, message)
  }
  const conversations = [...tables.conversations.values() as Iterable<ConversationRow>].map(row =>
    [row.id, { ...row, messages: messages.get(row.id) ?? new Map() }] as const)
  return {
    place: tables.place.get(PLACE_KEY) as Place | undefined,
    copy: { userId, conversations: new Map(conversations) },
    outbox: tables.outbox as Map<string, OutboxEntry>,
    drafts: tables.drafts as Map<string, HeldDraft>
  }
}

/** What a client begins with: of each conversation, the newest messages. */
export const shortened = (saved: Saved): Saved => ({
  ...saved,
  copy: {
    ...saved.copy,
    conversations: new Map([...saved.copy.conversations].map(([id, conversation]) =>
      [id, cut(saved.copy.userId, conversation, KEPT_AT_START)]))
  }
})

/** What has to be written so that the store has `after` in the place of `before`. */
export function changesBetween (before: Saved, after: Saved): StoredChange[] {
  return [
    ...before.place === after.place ? [] : [change('place', PLACE_KEY, after.place)],
    ...differing(before.copy.conversations, after.copy.conversations).flatMap(([id, old, present]) => [
      change('conversations', id, present && rowOf(present)),
      ...differing(old?.messages ?? new Map<string, Message>(), present?.messages ?? new Map())
        .map(([messageId, , message]) => change('messages', messageId, message))
    ]),
    ...differing(before.outbox, after.outbox).map(([id, , entry]) => change('outbox', id, entry)),
    ...differing(before.drafts, after.drafts).map(([id, , draft]) => change('drafts', id, draft))
  ]
}

const change = (table: Table, key: string, value: unknown): StoredChange => ({ table, key, value })

function rowOf ({ messages, ...row }: HeldConversation): ConversationRow { return row }

/** Values are never changed in place, so what is the same object has not changed. */
function differing<V> (
  before: ReadonlyMap<string, V>, after: ReadonlyMap<string, V>
): Array<[key: string, old: V | undefined, present: V | undefined]> {
  if (before === after) return []
  const found: Array<[string, V | undefined, V | undefined]> = []
  for (const [key, old] of before) {
    const present = after.get(key)
    if (present !== old) found.push([key, old, present])
  }
  for (const [key, present] of after) if (!before.has(key)) found.push([key, undefined, present])
  return found
}
