/**
 * The client of Echo: what an application needs to show conversations and to change them, on
 * a network that comes and goes. docs/protocol.md is what it speaks.
 */
import { type Client, type ClientEvents, type ClientOptions, type NewMessage } from './client-options.ts'
import { BACKOFF } from './connection/backoff.ts'
import { createConnection } from './connection/connection.ts'
import { createTokens } from './connection/tokens.ts'
import { watchWakeUps } from './connection/wake-up.ts'
import { createEmitter } from './emitter.ts'
import { EchoError } from './errors.ts'
import { createDraftSync } from './sync/drafts.ts'
import { createHistory } from './sync/history.ts'
import { createPresence } from './live/presence.ts'
import { createTyping } from './live/typing.ts'
import { findMessage } from './model/copy.ts'
import { isReadNews } from './model/unread.ts'
import { enqueued, withEntry, without, type OutboxCommand } from './model/outbox.ts'
import { afterEvent } from './outbox/outcomes.ts'
import { createSender } from './outbox/sender.ts'
import { randomId } from './random-id.ts'
import { createReadModel } from './read-model.ts'
import { createRest } from './rest.ts'
import { createChangeNotice } from './state/change-notice.ts'
import { openKeeper, type Keeper } from './state/keeper.ts'
import { emptySaved } from './state/saved.ts'
import { createSync } from './sync/sync.ts'
import { upload } from './upload.ts'
import { type InboxEvent } from './wire/events.ts'
import { type Conversation, type MessagePage } from './wire/views.ts'

export { createMemoryStore } from './store/memory.ts'
export { EchoError } from './errors.ts'
export type * from './client-options.ts'
export type { ConnectionState, Phase } from './connection/connection.ts'
export type { TokenReason, TokenSource } from './connection/tokens.ts'
export type { ShownMessage, Tick } from './model/shown.ts'
export type { OutboxCommand, OutboxEntry } from './model/outbox.ts'
export type { ReadModel, ShownConversation } from './read-model.ts'
export type { Store, StoredChange, Tables } from './store/store.ts'
export type { UploadOptions } from './upload.ts'
export type * from './wire/events.ts'
export type * from './wire/views.ts'

const KEEPALIVE_S = 60

export function createClient ({
  userId, deviceId, token, api, mqtt, store, keepaliveS = KEEPALIVE_S, backoff = BACKOFF,
  random = Math.random, now = Date.now
}: ClientOptions): Client {
  const events = createEmitter<ClientEvents>()
  const notice = createChangeNotice(conversations => events.emit('change', { conversations }))
  const tokens = createTokens(token, now)
  const rest = createRest({ api, tokens, isOff: () => isOff })
  const typing = createTyping(now, notice.changed)
  const presence = createPresence(rest, () => notice.changed())
  const nothing = emptySaved(userId)
  let isOff = false
  let running: Awaited<ReturnType<typeof run>> | undefined

  async function run () {
    const keeper = await openKeeper(userId, store, notice.between)
    const history = createHistory({ keeper, rest, backoff, random })
    const sender = createSender({
      keeper,
      rest,
      backoff,
      random,
      refused: (entry, error) => events.emit('refused', { entry, error })
    })
    const drafts = createDraftSync({ keeper, rest, backoff, random, now })
    const sync = createSync({ keeper, rest, deviceId, applied, restarted: sender.again })
    const connection = createConnection({
      session: { url: mqtt, userId, deviceId, keepaliveS },
      handlers: {
        inbox: sync.receive,
        reply: sender.reply,
        live (told) {
          if (told.type === 'presence') presence.told(told)
          else if (told.type === 'draft') drafts.told(told)
          else if (told.type === 'typing') typing.told(told.conversation_id, told.user_id, told.is_typing)
        }
      },
      tokens,
      catchUp: sync.catchUp,
      backoff,
      random,
      now,
      changed (state) {
        events.emit('connection', state)
        notice.changed()
      },
      connected (session) {
        sender.connected(session)
        drafts.connected()
        presence.connected()
        history.connected()
      },
      disconnected () {
        sender.disconnected()
        drafts.disconnected()
        typing.clear()
        presence.disconnected()
        history.disconnected()
      }
    })
    const stopWatching = watchWakeUps(now, connection.hurry)

    function applied (told: InboxEvent[]): void {
      history.applied(told)
      for (const event of told) {
        if (event.type === 'new_message') {
          typing.told(event.message.conversation_id, event.message.sender_user_id, false)
          events.emit('message', event.message)
        }
        if (event.type === 'participant_removed' && event.user_id === userId) {
          drafts.left(event.conversation_id)
        }
        events.emit('event', event)
      }
    }

    return { keeper, history, sender, drafts, connection, stopWatching }
  }

  const started = (): NonNullable<typeof running> => {
    if (running === undefined) throw new EchoError('not_started', 'the client is not started')
    return running
  }

  async function enqueue (command: OutboxCommand): Promise<string> {
    const { keeper, sender } = started()
    const id = randomId()
    const entry = { id, created_at: new Date(now()).toISOString(), command }
    await keeper.commit(saved => ({ ...saved, outbox: enqueued(saved.outbox, entry) }))
    sender.wake()
    return id
  }

  function held (messageId: string) {
    const found = findMessage(started().keeper.saved.copy, messageId)
    if (found === undefined) throw new EchoError('message_not_held', 'the device does not hold this message')
    return { conversation_id: found.conversation.id, message_id: messageId, seq: found.message.seq }
  }

  return {
    userId,
    deviceId,
    on: events.on,
    model: createReadModel({
      saved: () => running?.keeper.saved ?? nothing,
      connection: () => running?.connection.state ?? { phase: 'stopped', retry_at: null, problem: null },
      typing,
      presence
    }),

    async start () {
      running = await run()
      running.connection.setOnline(!isOff)
      running.connection.start()
    },
    async close () {
      if (running === undefined) return
      running.stopWatching()
      await running.connection.close()
      await running.keeper.settle()
      await store.close()
    },
    setOnline (online) {
      isOff = !online
      running?.connection.setOnline(online)
    },

    send: message => enqueue(sendCommand(message)),
    async retry (key) {
      const { keeper, sender } = started()
      await keeper.commit(saved => {
        const entry = saved.outbox.get(key)
        if (entry?.state !== 'failed') return saved
        return { ...saved, outbox: withEntry(saved.outbox, { ...entry, state: 'waiting', error: undefined }) }
      })
      sender.wake(key)
    },
    async discard (key) {
      await started().keeper.commit(saved => ({ ...saved, outbox: without(saved.outbox, key) }))
    },
    async adopt (entries) {
      const { keeper, sender } = started()
      await keeper.commit(saved => ({ ...saved, outbox: entries.reduce(enqueued, saved.outbox) }))
      sender.wake()
    },
    async edit (messageId, content, mentions = []) {
      const { seq, ...message } = held(messageId)
      await enqueue({ kind: 'edit', ...message, content, mentions })
    },
    async unsend (messageId) {
      const { seq, ...message } = held(messageId)
      await enqueue({ kind: 'unsend', ...message })
    },
    async react (messageId, emoji, on = true) {
      const { seq, ...message } = held(messageId)
      await enqueue({ kind: 'react', ...message, emoji, on })
    },
    async read (messageId) {
      const message = held(messageId)
      const conversation = started().keeper.saved.copy.conversations.get(message.conversation_id)!
      if (isReadNews(userId, conversation, message.seq)) await enqueue({ kind: 'read', ...message })
    },
    setDraft: async (conversationId, content) => await started().drafts.write(conversationId, content),

    typing (conversationId, isTyping) {
      if (typing.own(conversationId, isTyping)) {
        running?.sender.tell({ type: 'typing', conversation_id: conversationId, is_typing: isTyping })
      }
    },
    watchPresence: presence.watch,

    loadOlder: conversationId => started().history.loadOlder(conversationId),
    search (q, { conversation_id } = {}) {
      const query = new URLSearchParams({ q, ...(conversation_id === undefined ? {} : { conversation_id }) })
      return rest.request<MessagePage>('GET', `/messages/search?${query}`)
    },
    upload: (file, options) => upload(rest, file, options),
    async attachment (id) {
      return await (await rest.withToken(given =>
        fetch(rest.address(`/attachments/${id}`), { headers: { authorization: `Bearer ${given}` } }))).blob()
    },
    async createConversation (conversation) {
      const view = await rest.request<Conversation>('POST', '/conversations', { body: conversation })
      await shown(started().keeper, view)
      return view
    },
    request: rest.request,
    [Symbol.asyncDispose] () { return this.close() }
  }
}

/** The answer is shown at once; the event that tells of it then changes nothing. */
const shown = (keeper: Keeper, conversation: Conversation): Promise<unknown> =>
  keeper.commit(saved => saved.copy.conversations.has(conversation.id)
    ? saved
    : afterEvent(saved, { type: 'conversation_updated', conversation }))

const sendCommand = ({
  conversation_id, content, message_type = 'text', mentions = [], reply_to_id = null, attachments = []
}: NewMessage): OutboxCommand =>
  ({ kind: 'send', conversation_id, content, message_type, mentions, reply_to_id, attachments })
