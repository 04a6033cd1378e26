/** What an application gives a client, and what it gets to do with it. */
import { type Backoff } from './connection/backoff.ts'
import { type ConnectionState } from './connection/connection.ts'
import { type TokenSource } from './connection/tokens.ts'
import { type OutboxEntry } from './model/outbox.ts'
import { type ReadModel } from './read-model.ts'
import { type RequestOptions } from './rest.ts'
import { type Store } from './store/store.ts'
import { type UploadOptions } from './upload.ts'
import { type InboxEvent, type Refusal } from './wire/events.ts'
import {
  type Attachment, type Conversation, type Mention, type Message, type MessagePage, type MessageType
} from './wire/views.ts'

export interface ClientOptions {
  userId: string
  /** Chosen once and kept with the store: the server keeps a cursor for it. */
  deviceId: string
  /** Asked at the start, before the token expires, and after it was refused. */
  token: TokenSource
  /** Where REST is: `https://chat.example`. */
  api: string
  /** Where MQTT is: `wss://chat.example:8083/mqtt`, `mqtts://chat.example:8883`. */
  mqtt: string
  store: Store
  keepaliveS?: number
  backoff?: Backoff
  random?: () => number
  now?: () => number
}

export interface ClientEvents {
  /** The read model has changed, in these conversations or outside of any. Several changes come as one. */
  change: { conversations: ReadonlySet<string> }
  connection: ConnectionState
  /** A message of somebody else that is new to this device. */
  message: Message
  /** Every event of the inbox, once it is stored and applied. */
  event: InboxEvent
  /** The server has refused for good what was in the outbox. */
  refused: { entry: OutboxEntry, error: Refusal }
}

export interface NewMessage {
  conversation_id: string
  content: string
  message_type?: MessageType
  mentions?: Mention[]
  reply_to_id?: string | null
  attachments?: Attachment[]
}

export interface NewConversation { type: 'direct' | 'group', participant_ids: string[], title?: string }

/**
 * What changes messages is in the store when its promise resolves, and goes out when it can:
 * no network is needed, and a killed process loses nothing. `typing` is told now or never.
 * Everything else asks the server and rejects with an EchoError when it cannot.
 */
export interface Client extends AsyncDisposable {
  readonly userId: string
  readonly deviceId: string
  readonly model: ReadModel
  on<K extends keyof ClientEvents> (type: K, listener: (value: ClientEvents[K]) => void): () => void
  /** Resolves when the store is read and the model shows it; connecting goes on by itself. */
  start (): Promise<void>
  close (): Promise<void>
  /** False cuts the connection and keeps it cut. */
  setOnline (online: boolean): void

  /** Resolves to the `key` of the message. */
  send (message: NewMessage): Promise<string>
  /** A failed message goes out again. */
  retry (key: string): Promise<void>
  /** A message that failed, or waits, is given up. One that is on its way may arrive all the same. */
  discard (key: string): Promise<void>
  /** Entries of another device of this user that does not send them any more. */
  adopt (entries: OutboxEntry[]): Promise<void>
  edit (messageId: string, content: string, mentions?: Mention[]): Promise<void>
  unsend (messageId: string): Promise<void>
  react (messageId: string, emoji: string, on?: boolean): Promise<void>
  /** This message and all earlier ones of its conversation. */
  read (messageId: string): Promise<void>
  /** Kept for this conversation, on all devices of the user; empty ends it. */
  setDraft (conversationId: string, content: string): Promise<void>

  typing (conversationId: string, isTyping: boolean): void
  /** Asks for the presence of these users now and after each connect. */
  watchPresence (userIds: string[]): void

  /** Resolves to whether there are more before them. */
  loadOlder (conversationId: string): Promise<boolean>
  search (q: string, options?: { conversation_id?: string }): Promise<MessagePage>
  upload (file: Blob, options?: UploadOptions): Promise<Attachment>
  /** The bytes of an attachment. */
  attachment (id: string): Promise<Blob>
  /** Resolves to the conversation, which the model has then. */
  createConversation (conversation: NewConversation): Promise<Conversation>
  /** Any other route of the REST API, from `/` below `/api/v1` on. */
  request<T = void> (method: string, path: string, options?: RequestOptions): Promise<T>
}
