/**
 * What the user meant to do on the device, and what has to come of it: every message is stored
 * once or has failed, in the order in which they were written, and the last word about a message stands.
 *
 * Of what a killed process had not confirmed nothing is promised, save that it happens at most once.
 */
import { and, eq, inArray, isNotNull, isNull } from 'drizzle-orm'
import { EchoError, type Client, type NewMessage, type OutboxEntry } from '../../../client/index.ts'
import { conversation_participants, messages, reactions } from '../../../migrations/schema.ts'
import { type Executor } from '../../../store/database.ts'
import { FOREIGN } from '../../model/world.ts'

/** Held by the device when the user acts on it. */
interface Target { id: string, seq: number | null, conversation_id: string, own: boolean }

type Wish = { message: Target, isConfirmed: boolean, isRefused: boolean } & (
  | { kind: 'edit', content: string }
  | { kind: 'unsend' }
  | { kind: 'react', emoji: string, on: boolean }
  | { kind: 'read' }
)
interface Written {
  content: string
  conversationId: string
  /** Undefined until the device has confirmed it. */
  key?: string
  hasFailed: boolean
  isGivenUp: boolean
}

export interface Intents {
  /** No other message has it. */
  text (): string
  /** Gives the text of the message. */
  write (client: Client, message: NewMessage): string
  edit (client: Client, message: Target): void
  unsend (client: Client, message: Target): void
  react (client: Client, message: Target, emoji: string, on: boolean): void
  read (client: Client, message: Target): void
  giveUp (client: Client, entry: OutboxEntry): void
  refused (entry: OutboxEntry): void
  /** Resolves when this client has confirmed, or declined, everything that was asked of it. */
  settled (client: Client): Promise<void>
  /** What was lost, doubled or out of order, when nothing is under way any more. */
  broken (database: Executor, outbox: OutboxEntry[]): Promise<string[]>
}

export function createIntents (userId: string, fault: (error: unknown) => void): Intents {
  const written: Written[] = []
  const wishes: Wish[] = []
  /** A client whose process is dead never answers. */
  const asked = new WeakMap<Client, Array<Promise<unknown>>>()
  let texts = 0
  const text = (): string => `own ${++texts}`

  function ask (client: Client, answer: Promise<unknown>): void {
    asked.set(client, [...asked.get(client) ?? [], answer])
  }
  function wish (client: Client, doing: Promise<void>, wanted: Wish): void {
    wishes.push(wanted)
    ask(client, doing.then(
      () => { wanted.isConfirmed = true },
      error => {
        wishes.splice(wishes.indexOf(wanted), 1)
        // Between the choice and the act, an event may have taken the message away.
        if (!(error instanceof EchoError && error.code === 'message_not_held')) fault(error)
      }))
  }
  const fresh = (message: Target) => ({ message, isConfirmed: false, isRefused: false })

  return {
    text,
    write (client, message) {
      const one: Written = {
        content: message.content, conversationId: message.conversation_id, hasFailed: false, isGivenUp: false
      }
      written.push(one)
      ask(client, client.send(message).then(key => { one.key = key }, fault))
      return message.content
    },
    edit (client, message) {
      const content = text()
      wish(client, client.edit(message.id, content), { ...fresh(message), kind: 'edit', content })
    },
    unsend (client, message) {
      wish(client, client.unsend(message.id), { ...fresh(message), kind: 'unsend' })
    },
    react (client, message, emoji, on) {
      wish(client, client.react(message.id, emoji, on), { ...fresh(message), kind: 'react', emoji, on })
    },
    read (client, message) {
      wish(client, client.read(message.id), { ...fresh(message), kind: 'read' })
    },
    giveUp (client, entry) {
      const one = written.find(({ key }) => key === entry.id)
      ask(client, client.discard(entry.id).then(() => { if (one !== undefined) one.isGivenUp = true }, fault))
    },
    async settled (client) { await Promise.all(asked.get(client) ?? []) },
    refused ({ id, command }) {
      const message = written.find(({ key }) => key === id)
      if (message !== undefined) message.hasFailed = true
      for (const wanted of wishes) {
        if (wanted.kind === command.kind && wanted.message.id === command.message_id) wanted.isRefused = true
      }
    },

    async broken (database, outbox) {
      const facts = await readFacts(database, userId)
      return [...brokenMessages(), ...misplaced(), ...wishes.flatMap(ungranted)]

      function brokenMessages (): string[] {
        const keys = new Set(written.map(({ key }) => key))
        const unconfirmed = facts.messages.filter(({ client_message_id: id }) =>
          id !== null && !id.startsWith(FOREIGN) && !keys.has(id))
        const open = written.filter(({ key }) => key === undefined)
        const extra = unconfirmed.length > open.length
          ? [`${unconfirmed.length} messages of unknown keys, of ${open.length} writes that were cut off`]
          : []
        return [...extra, ...written.flatMap(({ key, content, isGivenUp }) => {
          if (key === undefined) return []
          const stored = facts.messages.filter(({ client_message_id: id }) => id === key).length
          const failed = outbox.some(({ id, state }) => id === key && state === 'failed')
          return stored + (failed || isGivenUp ? 1 : 0) === 1
            ? []
            : [`"${content}" is stored ${stored} times, failed: ${failed}, given up: ${isGivenUp}`]
        })]
      }

      /** One that failed on the way went out again later. */
      function misplaced (): string[] {
        const last = new Map<string, number>()
        return written.flatMap(({ key, content, conversationId, hasFailed }) => {
          const row = facts.messages.find(({ client_message_id: id }) => id === key)
          if (key === undefined || row === undefined || hasFailed) return []
          const before = last.get(conversationId) ?? 0
          last.set(conversationId, row.seq)
          return row.seq > before ? [] : [`"${content}" came before what was written before it`]
        })
      }

      /** The user's last word about something, unless what was said after it may have been heard. */
      function ungranted (wanted: Wish): string[] {
        const { message: { id, conversation_id, own, seq }, isConfirmed, isRefused } = wanted
        const stay = facts.stays.get(conversation_id)
        const message = facts.messages.find(row => row.id === id)
        // What belongs to an earlier stay is out of the user's reach.
        if (!isConfirmed || isRefused || stay === undefined || seq! <= stay.joined_seq) return []
        const isLast = !wishes.slice(wishes.indexOf(wanted) + 1).some(later =>
          later.kind === wanted.kind && later.message.id === id &&
          !(later.kind === 'react' && wanted.kind === 'react' && later.emoji !== wanted.emoji))
        if (!isLast) return []
        switch (wanted.kind) {
          case 'read':
            return own || stay.last_read_seq >= seq! ? [] : [`read up to ${stay.last_read_seq}, not ${seq}`]
          case 'unsend':
            return !own || message!.deleted_at !== null ? [] : [`message ${id} is not deleted`]
          case 'edit':
            return !own || message!.deleted_at !== null || message!.content!.endsWith('(edited)') ||
              message!.content === wanted.content
              ? []
              : [`message ${id} says "${message!.content}" and not "${wanted.content}"`]
          case 'react': {
            const has = facts.reactions.some(({ message_id, emoji }) =>
              message_id === id && emoji === wanted.emoji)
            return has === wanted.on || facts.deleted.has(id)
              ? []
              : [`message ${id} has ${wanted.emoji}: ${has}, and the user wanted ${wanted.on}`]
          }
        }
      }
    }
  }
}

async function readFacts ({ orm }: Executor, userId: string) {
  const [own, reacted, stays] = await Promise.all([
    orm.select().from(messages).where(eq(messages.sender_user_id, userId)),
    orm.select().from(reactions).where(eq(reactions.user_id, userId)),
    orm.select().from(conversation_participants)
      .where(and(eq(conversation_participants.user_id, userId), isNull(conversation_participants.left_at)))
  ])
  const deleted = await orm.select({ id: messages.id }).from(messages)
    .where(and(inArray(messages.conversation_id, stays.map(stay => stay.conversation_id)),
      isNotNull(messages.deleted_at)))
  return {
    messages: own,
    reactions: reacted,
    deleted: new Set(deleted.map(({ id }) => id)),
    /** The present ones, by conversation. */
    stays: new Map(stays.map(stay => [stay.conversation_id, stay]))
  }
}
