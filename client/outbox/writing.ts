/** What a user does to messages, as entries of the outbox: each is in the store when its promise resolves. */
import { type Client, type NewMessage } from '../client-options.ts'
import { EchoError } from '../errors.ts'
import { findMessage } from '../model/copy.ts'
import { enqueued, withEntry, without, type OutboxCommand } from '../model/outbox.ts'
import { isReadNews } from '../model/unread.ts'
import { randomId } from '../random-id.ts'
import { type Keeper } from '../state/keeper.ts'
import { type Sender } from './sender.ts'

export type Writing =
  Pick<Client, 'send' | 'retry' | 'discard' | 'adopt' | 'edit' | 'unsend' | 'react' | 'read'>

export interface WritingDeps {
  userId: string
  /** Throws while the client is not started. */
  started (): { keeper: Keeper, sender: Sender }
  now (): number
}

export function createWriting ({ userId, started, now }: WritingDeps): Writing {
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
    }
  }
}

const sendCommand = ({
  conversation_id, content, message_type = 'text', mentions = [], reply_to_id = null, attachments = []
}: NewMessage): OutboxCommand =>
  ({ kind: 'send', conversation_id, content, message_type, mentions, reply_to_id, attachments })
