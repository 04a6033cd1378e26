/**
 * One run of a client, from its start to its close: what follows the log, what sends, what keeps the
 * connection, and what each has to tell the others.
 */
import { type ClientEvents, type ClientOptions } from './client-options.ts'
import { createConnection, type Connection } from './connection/connection.ts'
import { type Tokens } from './connection/tokens.ts'
import { watchWakeUps } from './connection/wake-up.ts'
import { type Emitter } from './emitter.ts'
import { type Watching } from './live/presence.ts'
import { type Typing } from './live/typing.ts'
import { createSender, type Sender } from './outbox/sender.ts'
import { type Rest } from './rest.ts'
import { type ChangeNotice } from './state/change-notice.ts'
import { openKeeper, type Keeper } from './state/keeper.ts'
import { createDraftSync, type DraftSync } from './sync/drafts.ts'
import { createHistory, type History } from './sync/history.ts'
import { createSync } from './sync/sync.ts'
import { type InboxEvent } from './wire/events.ts'

export interface Run {
  keeper: Keeper
  history: History
  sender: Sender
  drafts: DraftSync
  connection: Connection
  /** Resolves when nothing more is sent or stored. */
  close (): Promise<void>
}

/** With every default in its place. */
export type RunOptions = Required<Omit<ClientOptions, 'api' | 'token'>>

export interface RunDeps {
  events: Emitter<ClientEvents>
  notice: ChangeNotice
  tokens: Tokens
  rest: Rest
  typing: Typing
  presence: Watching
}

/** Resolves when the store is read; the connection is not begun. */
export async function startRun (
  { userId, deviceId, mqtt, store, keepaliveS, backoff, random, now }: RunOptions,
  { events, notice, tokens, rest, typing, presence }: RunDeps
): Promise<Run> {
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
  const sync = createSync({
    keeper,
    rest,
    deviceId,
    applying: history.applying,
    applied,
    restarting: history.restarting,
    restarted: sender.again
  })
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
    history.applied()
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

  return {
    keeper,
    history,
    sender,
    drafts,
    connection,
    async close () {
      stopWatching()
      await connection.close()
      await keeper.close()
      await store.close()
    }
  }
}
