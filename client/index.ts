/**
 * The client of Echo: what an application needs to show conversations and to change them, on
 * a network that comes and goes. docs/protocol.md is what it speaks.
 */
import { type Client, type ClientEvents, type ClientOptions } from './client-options.ts'
import { BACKOFF } from './connection/backoff.ts'
import { createTokens } from './connection/tokens.ts'
import { createEmitter } from './emitter.ts'
import { EchoError } from './errors.ts'
import { createPresence } from './live/presence.ts'
import { createTyping } from './live/typing.ts'
import { afterEvent } from './outbox/outcomes.ts'
import { createWriting } from './outbox/writing.ts'
import { createReadModel } from './read-model.ts'
import { createRest } from './rest.ts'
import { startRun, type Run } from './run.ts'
import { createChangeNotice } from './state/change-notice.ts'
import { type Keeper } from './state/keeper.ts'
import { emptySaved } from './state/saved.ts'
import { upload } from './upload.ts'
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
  let running: Run | undefined

  const started = (): Run => {
    if (running === undefined) throw new EchoError('not_started', 'the client is not started')
    return running
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
      running = await startRun(
        { userId, deviceId, mqtt, store, keepaliveS, backoff, random, now },
        { events, notice, tokens, rest, typing, presence }
      )
      running.connection.setOnline(!isOff)
      running.connection.start()
    },
    close: async () => await running?.close(),
    setOnline (online) {
      isOff = !online
      running?.connection.setOnline(online)
    },

    ...createWriting({ userId, started, now }),
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
