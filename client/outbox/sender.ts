/**
 * Sends what waits in the outbox. Messages and read receipts are commands of the session,
 * in their order; they stay until the answer or the event has come, and every new connection
 * sends again what has neither. Changes of messages go over REST, one after the other.
 */
import { type Session } from '../connection/session.ts'
import { delayMs, type Backoff } from '../connection/backoff.ts'
import { EchoError } from '../errors.ts'
import { type Rest } from '../rest.ts'
import { type Keeper } from '../state/keeper.ts'
import { type Refusal, type Reply } from '../wire/events.ts'
import { type Message } from '../wire/views.ts'
import { inTurn, type OutboxCommand, type OutboxEntry } from '../model/outbox.ts'
import { afterAccepted, afterChange, afterEdit, afterRead, afterRefused } from './outcomes.ts'

/** Commands without a PUBACK at a time. */
const WINDOW = 20

export interface Sender {
  connected (session: Session): void
  disconnected (): void
  /** A snapshot was taken: answers and events of before may never come. */
  again (): void
  /** Something new waits; or this one again, which was refused before. */
  wake (again?: string): void
  /** A command that is worth nothing later. */
  tell (command: object): void
  reply (reply: Reply): Promise<void>
}

export interface SenderDeps {
  keeper: Keeper
  rest: Rest
  backoff: Backoff
  random (): number
  refused (entry: OutboxEntry, error: Refusal): void
}

type Changing = Extract<OutboxCommand, { kind: 'edit' | 'unsend' | 'react' }>

export function createSender ({ keeper, rest, backoff, random, refused }: SenderDeps): Sender {
  let session: Session | undefined
  /** Sent on this connection. */
  let published = new Set<string>()
  let unanswered = 0
  let changing = false

  function publish (): void {
    if (session === undefined) return
    const to = session
    for (const entry of inTurn(keeper.saved.outbox)) {
      if (unanswered >= WINDOW) return
      const command = commandOf(entry)
      if (command === undefined || entry.state === 'failed' || published.has(entry.id)) continue
      published.add(entry.id)
      unanswered++
      to.command(command).then(() => {
        if (to !== session) return
        unanswered--
        publish()
      }, () => {}) // the connection has ended: the next one sends it again
    }
  }

  async function reply ({ type, client_message_id, request_id, message, error }: Reply): Promise<void> {
    const entry = keeper.saved.outbox.get(client_message_id ?? request_id ?? '')
    if (entry === undefined) return
    if (type === 'rejected') await refuse(entry, error!)
    else if (message !== undefined) await keeper.commit(saved => afterAccepted(saved, entry.id, message))
    else await keeper.commit(saved => afterRead(saved, entry))
  }

  async function refuse (entry: OutboxEntry, { code, detail }: Refusal): Promise<void> {
    await keeper.commit(saved => afterRefused(saved, entry, { code, detail }))
    refused(entry, { code, detail })
  }

  /** Until nothing waits, or the connection is lost. */
  async function change (): Promise<void> {
    for (let attempt = 0; ;) {
      if (session === undefined) return
      const entry = inTurn(keeper.saved.outbox).find(({ state, command }) =>
        state === 'waiting' && command.kind !== 'send' && command.kind !== 'read')
      if (entry === undefined) return
      try {
        const message = await request(rest, entry.command as Changing)
        await keeper.commit(saved => message === undefined
          ? afterChange(saved, entry.id)
          : afterEdit(saved, entry.id, message))
        attempt = 0
      } catch (error) {
        if (error instanceof EchoError && !error.transient) {
          await refuse(entry, { code: error.code, detail: error.message })
          continue
        }
        const told = error instanceof EchoError ? error.retryAfterMs : undefined
        await new Promise(resolve => setTimeout(resolve, delayMs(backoff, attempt++, random, told)))
      }
    }
  }

  function wake (again?: string): void {
    if (again !== undefined) published.delete(again)
    publish()
    if (changing || session === undefined) return
    changing = true
    change().finally(() => { changing = false }).catch(() => {}) // the store: the next wake tries again
  }

  return {
    connected (opened) {
      session = opened
      published = new Set()
      unanswered = 0
      wake()
    },
    disconnected () { session = undefined },
    again () {
      published = new Set()
      wake()
    },
    wake,
    tell (command) { session?.command(command).catch(() => {}) },
    reply
  }
}

/** Undefined for what goes over REST. */
function commandOf ({ id, command }: OutboxEntry): object | undefined {
  if (command.kind === 'send') {
    const { kind, attachments, ...message } = command
    return {
      type: 'send_message',
      ...message,
      attachment_ids: attachments.map(attachment => attachment.id),
      client_message_id: id
    }
  }
  if (command.kind === 'read') return { type: 'read_receipt', message_id: command.message_id, request_id: id }
  return undefined
}

/** Resolves to the message after an edit. */
async function request ({ request }: Rest, command: Changing): Promise<Message | undefined> {
  const path = `/messages/${command.message_id}`
  switch (command.kind) {
    case 'edit': {
      const { content, mentions } = command
      return await request<Message>('PATCH', path, { body: { content, mentions } })
    }
    case 'unsend':
      return await request<undefined>('DELETE', path)
    case 'react': {
      const method = command.on ? 'PUT' : 'DELETE'
      return await request<undefined>(method, `${path}/reactions/${encodeURIComponent(command.emoji)}`)
    }
  }
}
