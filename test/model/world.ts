/** A few users of a running Echo, one of them with a phone, and what they have done so far. */
import { randomUUID } from 'node:crypto'
import { and, eq, inArray, isNotNull } from 'drizzle-orm'
import pino from 'pino'
import { startBroker } from '../../broker/start.ts'
import {
  MAX_PARTICIPANTS_SHOWN, type ConversationView, type MessageView, type ParticipantView
} from '../../core/views.ts'
import { conversation_participants, messages, participant_stays } from '../../migrations/schema.ts'
import { type Executor } from '../../store/database.ts'
import { inboxCounters } from '../../store/people/users.ts'
import { startTestApi, type Answer, type Caller, type TestApi } from '../api/api.ts'
import { connectPhone, type Phone } from '../support/phone.ts'
import { until } from '../support/until.ts'
import { EXACTLY, type Action } from './actions.ts'
import { type InboxEvent } from '../../client/wire/events.ts'
import { type Snapshot, type Untold } from './shown.ts'

const USERS = 4
/** Few, so that much happens in each. */
const MAX_GROUPS = 4
/** With two users a crowd is as large as it may be while all see each other. */
const FILLERS = Array.from({ length: MAX_PARTICIPANTS_SHOWN - 2 }, (_, i) => `filler${i}`)

/** How the ids of messages begin that no client library has sent. */
export const FOREIGN = 'foreign-'

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

/** Where a world is. */
export interface Ground {
  api: Pick<TestApi, 'url' | 'user'>
  database: Executor
  /** The first user's phone connects here; without it there is no phone. */
  phonePort?: number
}

export const groundOf = ({ api, mqttPort }: Echo): Ground =>
  ({ api, phonePort: mqttPort, database: api.messaging.database.autocommit })

const FOR_ADMINS: ReadonlySet<Action['do']> = new Set(['add', 'remove', 'allow', 'retitle'])

/** Without its request it cannot be sent again. */
interface Sent { id: string, conversation: string, by: Caller, request?: object }

export interface World extends AsyncDisposable {
  users: Caller[]
  /** The first user's, connected all the time. */
  phone: Phone | undefined
  /** Of the present state of all conversations. */
  untold (): Promise<Untold>
  perform (action: Action): Promise<Answer | undefined>
  /** A message that came about otherwise: the actions that follow may choose it. */
  note (by: Caller, message: Pick<MessageView, 'id' | 'conversation_id'>): void
  /** Resolves when the phone has acknowledged everything. */
  settle (): Promise<void>
}

export async function createWorld ({ api, phonePort, database }: Ground): Promise<World> {
  const users = await Promise.all(Array.from(
    { length: USERS }, (_, i) => api.user(`model${i}`, { claims: { name: `User ${i}` } })
  ))
  for (const user of users) await user.get('/users/me')
  const { id: userId, token } = users[0]!
  const phone = phonePort === undefined
    ? undefined
    : await connectPhone({ userId, deviceId: 'phone', token, port: phonePort })
  const conversations: string[] = []
  const members = new Map<string, Set<string>>()
  const founders = new Map<string, Caller>()
  const sent: Sent[] = []

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

  const noteMessage = (
    by: Caller, { id, conversation_id }: Pick<MessageView, 'id' | 'conversation_id'>, request?: object
  ): void => {
    if (sent.some(message => message.id === id)) return
    sent.push({ id, conversation: conversation_id, by, request })
  }

  async function send (
    by: Caller, request: Record<string, unknown>, over: 'rest' | 'mqtt'
  ): Promise<Answer | undefined> {
    if (over === 'rest' || by !== users[0] || phone === undefined) {
      const answer = accepted(await by.post('/messages', request))
      if (answer.status < 300) noteMessage(by, answer.body, request)
      return answer
    }
    await phone.client.publishAsync(
      `user/${by.id}/outbox`, JSON.stringify({ type: 'send_message', ...request }), { qos: 1 }
    )
    const { events } = await readInbox(by, 0)
    const view = events.findLast(event =>
      event.type === 'message_sent' && event.message.client_message_id === request.client_message_id) as
      Extract<InboxEvent, { type: 'message_sent' }> | undefined
    if (view !== undefined) noteMessage(by, view.message, request)
  }

  async function upload (by: Caller): Promise<string[]> {
    const form = new FormData()
    form.append('file', new Blob(['a file of plain text']), 'notes.txt')
    const response = await fetch(`${api.url}/api/v1/attachments`, {
      method: 'POST', body: form, headers: { authorization: `Bearer ${by.token}` }
    })
    return response.status === 201 ? [((await response.json()) as { id: string }).id] : []
  }

  async function perform (action: Action): Promise<Answer | undefined> {
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
            client_message_id: `${FOREIGN}${randomUUID()}`,
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
          const answer = accepted(await by.post(`${path}/participants`, { user_id: added }))
          if (answer.status === 200) members.get(id)!.add(added)
          return answer
        }
        case 'remove':
        case 'leave': {
          const gone = action.do === 'leave' ? by.id : other(by, action.other).id
          const answer = accepted(await by.delete(`${path}/participants/${gone}`))
          if (answer.status === 204) members.get(id)!.delete(gone)
          return answer
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
      case 'sendAgain':
        return chosen.request && accepted(await chosen.by.post('/messages', chosen.request))
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

  function noteConversation (answer: Answer, userIds: string[]): Answer {
    if (answer.status === 201) {
      conversations.push(answer.body.id)
      members.set(answer.body.id, new Set(userIds))
    }
    return answer
  }

  return {
    users,
    phone,
    perform,
    note: noteMessage,
    untold: () => readUntold(database, conversations),
    async settle () {
      await until(async () => {
        const [counters] = await inboxCounters(database, [users[0]!.id])
        return counters!.acked_seq === counters!.inbox_seq
      }, 'the phone has acknowledged everything')
    },
    async [Symbol.asyncDispose] () { await phone?.[Symbol.asyncDispose]() }
  }
}

/** Of the present state of these conversations. */
export async function readUntold ({ orm }: Executor, conversationIds: string[]): Promise<Untold> {
  const present = conversation_participants
  const [left, ended, held] = await Promise.all([
    orm.select({ id: present.conversation_id, seq: present.left_seq }).from(present)
      .where(and(inArray(present.conversation_id, conversationIds), isNotNull(present.left_seq))),
    orm.select({ id: participant_stays.conversation_id, seq: participant_stays.left_seq })
      .from(participant_stays).where(inArray(participant_stays.conversation_id, conversationIds)),
    orm.select({ id: messages.id }).from(messages)
      .where(and(inArray(messages.conversation_id, conversationIds), eq(messages.hidden, true)))
  ])
  const departures = new Map<string, number>()
  for (const { id, seq } of [...left, ...ended]) {
    departures.set(id, Math.max(seq!, departures.get(id) ?? 0))
  }
  return { departures, held: new Set(held.map(({ id }) => id)) }
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
