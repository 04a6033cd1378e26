/** A few users of a running Echo, one of them with a phone, and what they have done so far. */
import { randomUUID } from 'node:crypto'
import { eq } from 'drizzle-orm'
import pino from 'pino'
import { startBroker } from '../../broker/start.ts'
import {
  MAX_PARTICIPANTS_SHOWN, type ConversationView, type MessageView, type ParticipantView
} from '../../core/views.ts'
import { messages } from '../../migrations/schema.ts'
import { inboxCounters } from '../../store/people/users.ts'
import { startTestApi, type Answer, type Caller, type TestApi } from '../api/api.ts'
import { connectPhone, type Phone } from '../support/phone.ts'
import { until } from '../support/until.ts'
import { EXACTLY, type Action } from './actions.ts'
import { type InboxEvent } from '../../client/wire/events.ts'
import { type Snapshot } from './shown.ts'

const USERS = 4
/** Few, so that much happens in each. */
const MAX_GROUPS = 4
/** With two users a crowd is as large as it may be while all see each other. */
const FILLERS = Array.from({ length: MAX_PARTICIPANTS_SHOWN - 2 }, (_, i) => `filler${i}`)

export interface Echo extends AsyncDisposable { api: TestApi, mqttPort: number, wsPort: number }

export async function startEcho (): Promise<Echo> {
  const api = await startTestApi()
  const broker = await startBroker({
    host: '127.0.0.1', mqttPort: 0, wsPort: 0
  }, { messaging: api.messaging, log: pino({ level: 'silent' }) })
  return {
    api,
    mqttPort: broker.mqttPort,
    wsPort: broker.wsPort,
    async [Symbol.asyncDispose] () {
      await broker[Symbol.asyncDispose]()
      await api[Symbol.asyncDispose]()
    }
  }
}

const FOR_ADMINS: ReadonlySet<Action['do']> = new Set(['add', 'remove', 'allow', 'retitle'])

interface Sent { id: string, conversation: string, by: Caller, request: object }

export interface World extends AsyncDisposable {
  users: Caller[]
  /** The first user's, connected all the time. */
  phone: Phone
  departures: Map<string, number>
  /** Messages that a block keeps from the other side. */
  held (): Promise<Set<string>>
  perform (action: Action): Promise<unknown>
  /** Resolves when the phone has acknowledged everything. */
  settle (): Promise<void>
}

export async function createWorld ({ api, mqttPort }: Echo): Promise<World> {
  const users = await Promise.all(Array.from(
    { length: USERS }, (_, i) => api.user(`model${i}`, { claims: { name: `User ${i}` } })
  ))
  for (const user of users) await user.get('/users/me')
  const phone =
    await connectPhone({ userId: users[0]!.id, deviceId: 'phone', token: users[0]!.token, port: mqttPort })
  const conversations: string[] = []
  const members = new Map<string, Set<string>>()
  const founders = new Map<string, Caller>()
  const sent: Sent[] = []
  const lastSeqs = new Map<string, number>()
  const departures = new Map<string, number>()

  const user = (i: number): Caller => users[i % users.length]!
  const other = (by: Caller, i: number): Caller => user(i) === by ? user(i + 1) : user(i)
  /**
   * Mostly among what concerns the user, at times among everything; from `EXACTLY` on the one of
   * that index.
   */
  function choose<T> (all: T[], i: number, own: (value: T) => boolean): T | undefined {
    if (i >= EXACTLY) return all[i - EXACTLY]
    const among = i % 10 === 0 ? all : all.filter(own)
    return among[i % among.length]
  }
  const isIn = (by: Caller, id: string): boolean => members.get(id)!.has(by.id)
  const conversation = (by: Caller, i: number): string | undefined =>
    choose(conversations, i, id => isIn(by, id))
  const message = (by: Caller, i: number): Sent | undefined =>
    choose(sent, i, message => isIn(by, message.conversation))

  /** What takes an admin is tried by the one who founded the group as often as by all others. */
  function actor (action: Action): Caller {
    const by = user(action.by)
    const founder = 'where' in action && action.by % 2 === 1 && FOR_ADMINS.has(action.do)
      ? founders.get(conversation(by, action.where) ?? '')
      : undefined
    return founder ?? by
  }

  const noteMessage = (by: Caller, request: object, view: MessageView): void => {
    if (sent.some(({ id }) => id === view.id)) return
    sent.push({ id: view.id, conversation: view.conversation_id, by, request })
    lastSeqs.set(view.conversation_id, Math.max(view.seq, lastSeqs.get(view.conversation_id) ?? 0))
  }

  async function send (by: Caller, request: Record<string, unknown>, over: 'rest' | 'mqtt'): Promise<void> {
    if (over === 'rest' || by !== users[0]) {
      const answer = accepted(await by.post('/messages', request))
      if (answer.status < 300) noteMessage(by, request, answer.body)
      return
    }
    await phone.client.publishAsync(
      `user/${by.id}/outbox`, JSON.stringify({ type: 'send_message', ...request }), { qos: 1 }
    )
    const { events } = await readInbox(by, 0)
    const view = events.findLast(event =>
      event.type === 'message_sent' && event.message.client_message_id === request.client_message_id) as
      Extract<InboxEvent, { type: 'message_sent' }> | undefined
    if (view !== undefined) noteMessage(by, request, view.message)
  }

  async function upload (by: Caller): Promise<string[]> {
    const form = new FormData()
    form.append('file', new Blob(['a file of plain text']), 'notes.txt')
    const response = await fetch(`${api.url}/api/v1/attachments`, {
      method: 'POST', body: form, headers: { authorization: `Bearer ${by.token}` }
    })
    return response.status === 201 ? [((await response.json()) as { id: string }).id] : []
  }

  async function perform (action: Action): Promise<unknown> {
    const by = actor(action)
    switch (action.do) {
      case 'look': return
      case 'createDirect': {
        const partner = other(by, action.other).id
        const answer = await by.post('/conversations', { type: 'direct', participant_ids: [partner] })
        return noteConversation(accepted(answer), [by.id, partner])
      }
      case 'createGroup':
      case 'createCrowd': {
        if (founders.size === MAX_GROUPS) return
        const others = [...new Set(action.others.map(i => other(by, i).id))]
        const participant_ids = action.do === 'createCrowd' ? [...others, ...FILLERS] : others
        const answer =
          accepted(await by.post('/conversations', { type: 'group', participant_ids, title: action.text }))
        founders.set(answer.body.id, by)
        return noteConversation(answer, [by.id, ...others])
      }
      case 'rename': return accepted(await by.put('/users/me', { name: `${action.text} ${by.id}` }))
      case 'block': return accepted(await by.put(`/blocks/${other(by, action.other).id}`))
      case 'unblock': return accepted(await by.delete(`/blocks/${other(by, action.other).id}`))
      case 'acknowledge': {
        const { last_seq } = (await by.get('/inbox?limit=1')).body
        const answer = await by.post(
          '/inbox/ack', { seq: Math.max(0, last_seq - action.back) }, { 'x-device-id': 'tablet' }
        )
        return accepted(answer)
      }
    }
    if ('where' in action) {
      const id = conversation(by, action.where)
      if (id === undefined) return
      const path = `/conversations/${id}`
      switch (action.do) {
        case 'send': {
          const repliedTo = action.reply === null
            ? undefined
            : sent.filter(message => message.conversation === id).at(-1 - action.reply % 3)
          return await send(by, {
            conversation_id: id,
            content: action.text,
            message_type: 'text',
            client_message_id: randomUUID(),
            ...(action.mention === null
              ? {}
              : { mentions: [{ user_id: user(action.mention).id, offset: 0, length: 3 }] }),
            ...(repliedTo === undefined ? {} : { reply_to_id: repliedTo.id }),
            ...(action.attach ? { attachment_ids: await upload(by) } : {})
          }, action.over)
        }
        case 'add': {
          const outside = users.filter(({ id: userId }) => !members.get(id)!.has(userId))
          const added = (outside[action.other % outside.length] ?? other(by, action.other)).id
          if (accepted(await by.post(`${path}/participants`, { user_id: added })).status === 200) {
            members.get(id)!.add(added)
          }
          return
        }
        case 'remove':
        case 'leave': {
          const gone = action.do === 'leave' ? by.id : other(by, action.other).id
          if (accepted(await by.delete(`${path}/participants/${gone}`)).status !== 204) return
          members.get(id)!.delete(gone)
          departures.set(id, lastSeqs.get(id) ?? 0)
          return
        }
        case 'allow': {
          const { role, can_send_messages } = action
          return accepted(
            await by.patch(`${path}/participants/${other(by, action.other).id}`, { role, can_send_messages })
          )
        }
        case 'retitle': return accepted(await by.patch(path, { title: action.text }))
        case 'mute': return accepted(
          await by.patch(path, { muted_until: action.muted ? '2031-01-01T00:00:00.000Z' : null })
        )
        case 'type': return accepted(await by.post(`${path}/typing`, { is_typing: true }))
      }
    }
    if (!('which' in action)) return
    const chosen = message(by, action.which)
    if (chosen === undefined) return
    const path = `/messages/${chosen.id}`
    switch (action.do) {
      case 'sendAgain': return accepted(await chosen.by.post('/messages', chosen.request))
      case 'read': return accepted(await by.post(`${path}/read`))
      // Its sender may, so mostly it is the sender who tries.
      case 'edit': return accepted(
        await (action.which % 4 === 3 ? by : chosen.by).patch(path, { content: `${action.text} (edited)` })
      )
      case 'delete': return accepted(await (action.which % 4 === 3 ? by : chosen.by).delete(path))
      case 'react': return accepted(await by.put(`${path}/reactions/${encodeURIComponent(action.emoji)}`))
      case 'unreact': return accepted(
        await by.delete(`${path}/reactions/${encodeURIComponent(action.emoji)}`)
      )
    }
  }

  function noteConversation ({ status, body }: Answer, userIds: string[]): void {
    if (status !== 201) return
    conversations.push(body.id)
    members.set(body.id, new Set(userIds))
  }

  return {
    users,
    phone,
    departures,
    perform,
    async held () {
      const rows = await api.messaging.database.autocommit.orm.select({ id: messages.id }).from(messages)
        .where(eq(messages.hidden, true))
      return new Set(rows.map(row => row.id))
    },
    async settle () {
      await until(async () => {
        const [counters] = await inboxCounters(api.messaging.database.autocommit, [users[0]!.id])
        return counters!.acked_seq === counters!.inbox_seq
      }, 'the phone has acknowledged everything')
    },
    async [Symbol.asyncDispose] () { await phone[Symbol.asyncDispose]() }
  }
}

/** Refused for what it is, as many random actions are; anything else is a fault of the server. */
function accepted (answer: Answer): Answer {
  if (answer.status >= 500 || answer.status === 429 || answer.status === 401) {
    throw new Error(`answered ${answer.status}: ${JSON.stringify(answer.body)}`)
  }
  return answer
}

/** All events after `seq`, in pages. */
export async function readInbox (user: Caller, seq: number, limit = 100): Promise<{ events: InboxEvent[] }> {
  const events: InboxEvent[] = []
  for (;;) {
    const { body } = await user.get(`/inbox?after=${events.at(-1)?.seq ?? seq}&limit=${limit}`)
    events.push(...body.events)
    if (body.has_more !== true) return { events }
  }
}

/** All participants of a conversation, in pages. */
export async function readParticipants (user: Caller, id: string): Promise<ParticipantView[]> {
  const participants: ParticipantView[] = []
  for (let cursor: string | null = ''; cursor !== null;) {
    const { body }: Answer =
      await user.get(`/conversations/${id}/participants?limit=9${cursor === '' ? '' : `&cursor=${cursor}`}`)
    participants.push(...body.participants)
    cursor = body.next_cursor
  }
  return participants
}

/**
 * What the user sees now, fetched as a client does: the list in pages, then the history of each
 * conversation.
 */
export async function takeSnapshot (user: Caller): Promise<Snapshot> {
  const conversations: ConversationView[] = []
  let lastSeq: number | undefined
  let cursor: string | null = ''
  while (cursor !== null) {
    const { body }: Answer =
      await user.get(`/conversations?limit=4${cursor === '' ? '' : `&cursor=${cursor}`}`)
    lastSeq ??= body.inbox.last_seq as number
    conversations.push(...body.conversations)
    cursor = body.next_cursor
  }
  const histories = new Map<string, MessageView[]>()
  for (const { id } of conversations) {
    const messages: MessageView[] = []
    for (let more = true; more;) {
      const before = messages.length === 0 ? '' : `&before_id=${messages.at(-1)!.id}`
      const { body } = await user.get(`/conversations/${id}/messages?limit=20${before}`)
      messages.push(...body.messages)
      more = body.has_more
    }
    histories.set(id, messages.reverse())
  }
  return { lastSeq: lastSeq!, conversations, histories }
}
