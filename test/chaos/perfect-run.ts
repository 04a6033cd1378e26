/** Runs in which every promise was kept, for the tests of the checks to break. */
import { type TakenPush } from '../../tools/fake-fcm/server.ts'
import { isShown } from './devices/shown.ts'
import { type Event } from './event.ts'
import { type Evidence, type HistoryMessage } from './evidence.ts'
import { Ledger, type Send, type Told } from './ledger.ts'

export const CONVERSATION = 'conversation'
export const MESSAGES = 4

export interface Run { ledger: Ledger, evidence: Evidence }

/** Alice sends bob four messages; bob's phone reconnects in the middle and gets one of them again. */
export function perfectRun (): Run {
  const ledger = new Ledger()
  ledger.members.set(CONVERSATION, new Set(['alice', 'bob']))
  ledger.members.set('elsewhere', new Set(['carol']))
  const messages: HistoryMessage[] = []
  const inboxes: Evidence['inboxes'] = new Map()
  const logs: Record<string, Event[]> =
    { alice: [eventIn(1, 'conversation_created')], bob: [eventIn(1, 'conversation_created')] }
  for (let n = 1; n <= MESSAGES; n++) {
    const send = sendOf(n)
    send.acceptances.push({ messageId: `m${n}`, seq: n })
    ledger.sends.set(send.clientMessageId, send)
    messages.push(readAs(send, n))
    append(logs.bob!, 'new_message', carrying(send, n))
    append(logs.alice!, 'message_sent', carrying(send, n))
    append(logs.alice!, 'message_delivered', { messageId: `m${n}`, receiptOf: 'bob', upToSeq: n })
  }
  for (const [userId, events] of Object.entries(logs)) inboxes.set(userId, { lastSeq: events.length, events })
  inboxes.set('carol', { lastSeq: 0, events: [] })
  const bob = logs.bob!
  const alices = logs.alice!.slice(1)
  // What alice has sent is not for the JSON WebSocket.
  const ofOthers = alices.filter(({ type }) => type !== 'message_sent')
  ledger.devices.push(
    { userId: 'alice', deviceId: 'phone', door: 'mqtt', startSeq: 1, connections: [alices] },
    {
      userId: 'alice',
      deviceId: 'laptop',
      door: 'json-acks',
      startSeq: 1,
      connections: [ofOthers.slice(0, 3), ofOthers.slice(2)]
    },
    {
      userId: 'bob',
      deviceId: 'phone',
      door: 'mqtt',
      startSeq: 1,
      connections: [bob.slice(1, 3), [], bob.slice(2)]
    },
    {
      userId: 'bob', deviceId: 'watch', door: 'json-pongs', startSeq: 1, connections: [bob.slice(1)]
    },
    {
      userId: 'bob', deviceId: 'page', door: 'sse', startSeq: 1, connections: [bob.slice(1, 3), bob.slice(3)]
    }
  )
  ledger.streams.push(
    {
      userId: 'alice', deviceId: 'backend', startSeq: 1, streams: [toldOf(alices)], read: new Set()
    },
    // The third message came between the two streams.
    {
      userId: 'bob',
      deviceId: 'backend',
      startSeq: 1,
      streams: [toldOf(bob.slice(1, 3)), toldOf(bob.slice(4))],
      read: new Set(['m1', 'm2', 'm3'])
    }
  )
  ledger.watched.set('m1', {
    messageId: 'm1',
    senderId: 'alice',
    observations: ['sent', 'delivered', 'read'].map(status =>
      ({ status, recipients: { bob: status } }))
  })
  ledger.reads.push({ readerId: 'bob', conversationId: CONVERSATION, seq: 2 })
  const histories =
    ['alice', 'bob'].map(readerId => ({ conversationId: CONVERSATION, readerId, messages: [...messages] }))
  const marks = new Map([
    [CONVERSATION, new Map([['alice', { delivered: 0, read: 0 }], ['bob', { delivered: MESSAGES, read: 2 }]])]
  ])
  return {
    ledger,
    evidence: {
      inboxes, histories, marks, downloads: new Map(), unerased: new Set(), pushes: []
    }
  }
}

/**
 * Dora sends a picture to erin, edits its text twice and gets a reaction, which erin takes back and makes
 * anew. Gone wrote to erin and was erased. Away has no connection and gets three messages of dora with two
 * pushes.
 */
export function changedRun (): Run {
  const run = perfectRun()
  const { ledger, evidence } = run
  const logs: Record<string, Event[]> = { dora: [], erin: [], away: [] }
  const tell = (userId: string, type: string, conversationId: string, fields: Partial<Event> = {}): void =>
    append(logs[userId]!, type, { conversationId, ...fields })

  const picture = { ...sendOf(1), ...sentBy('dora', 'changes'), attachmentId: 'file' }
  const edited = { ...picture, content: 'edited twice' }
  ledger.members.set('changes', new Set(['dora', 'erin']))
  ledger.sends.set(picture.clientMessageId, picture)
  ledger.uploads.set('file', 'digest')
  ledger.edited.set('changes1', {
    messageId: 'changes1',
    clientMessageId: picture.clientMessageId,
    edits: ['edited once', edited.content].map(content => ({ content, accepted: true }))
  })
  ledger.reactions.set('changes1 erin 🎉', {
    messageId: 'changes1',
    conversationId: 'changes',
    userId: 'erin',
    emoji: '🎉',
    changes: [
      { type: 'reaction_added', accepted: true },
      { type: 'reaction_removed', accepted: true },
      { type: 'reaction_added', accepted: true }
    ]
  })
  for (const userId of ['dora', 'erin']) {
    const message = { ...carrying(edited, 1), messageId: 'changes1', attachments: 'file' }
    tell(userId, userId === 'dora' ? 'message_sent' : 'new_message', 'changes', message)
    tell(userId, 'message_edited', 'changes', message)
    tell(userId, 'message_edited', 'changes', message)
    for (const type of ['reaction_added', 'reaction_removed', 'reaction_added']) {
      tell(userId, type, 'changes', { messageId: 'changes1', reactedBy: 'erin', emoji: '🎉' })
    }
    evidence.downloads.set(`file ${userId}`, 'digest')
    evidence.histories.push({
      conversationId: 'changes',
      readerId: userId,
      messages: [{
        ...readAs(edited, 1), id: 'changes1', attachmentIds: ['file'], reactions: ['erin 🎉']
      }]
    })
  }

  ledger.members.set('left', new Set(['erin']))
  ledger.erasures.push({
    userId: 'gone',
    partnerId: 'erin',
    conversationId: 'left',
    contents: ['a secret'],
    messageIds: ['left1'],
    accepted: true
  })
  tell('erin', 'new_message', 'left', { messageId: 'left1', messageSeq: 1, senderId: 'gone' })
  tell('erin', 'message_deleted', 'left', { messageId: 'left1' })
  evidence.histories.push({
    conversationId: 'left',
    readerId: 'erin',
    messages: [{
      ...readAs({ ...sendOf(1), senderId: 'gone' }, 1),
      id: 'left1',
      clientMessageId: undefined,
      content: undefined,
      deleted: true
    }]
  })
  // The phone was there before the edits and the erasure.
  const erins = logs.erin!.map((event, i) =>
    i === 0
      ? { ...event, content: picture.content }
      : event.messageId === 'left1' && event.type === 'new_message'
        ? { ...event, content: 'a secret', clientMessageId: 'gone.1' }
        : event)
  ledger.devices.push({
    userId: 'erin', deviceId: 'phone', door: 'mqtt', startSeq: 0, connections: [erins]
  })
  ledger.streams.push({
    userId: 'erin', deviceId: 'backend', startSeq: 0, streams: [toldOf(erins)], read: new Set()
  })
  evidence.marks.set('changes', new Map([['erin', { delivered: 1, read: 0 }]]))
  evidence.marks.set('left', new Map([['erin', { delivered: 1, read: 0 }]]))

  ledger.members.set('waiting', new Set(['dora', 'away']))
  ledger.absent.set('token', 'away')
  const told: HistoryMessage[] = []
  for (let n = 1; n <= 3; n++) {
    const send = { ...sendOf(n), ...sentBy('dora', 'waiting'), clientMessageId: `waiting.${n}`, counter: n }
    send.acceptances = [{ messageId: `waiting${n}`, seq: n }]
    ledger.sends.set(send.clientMessageId, send)
    told.push({ ...readAs(send, n), id: `waiting${n}` })
    for (const [userId, type] of [['dora', 'message_sent'], ['away', 'new_message']] as const) {
      tell(userId, type, 'waiting', { ...carrying(send, n), messageId: `waiting${n}` })
    }
  }
  evidence.pushes.push(pushOf(1, 'says 1'), pushOf(3, '2 new messages: says 3'))
  for (const readerId of ['dora', 'away']) {
    evidence.histories.push({ conversationId: 'waiting', readerId, messages: [...told] })
  }
  for (const [userId, events] of Object.entries(logs)) {
    evidence.inboxes.set(userId, { lastSeq: events.length, events })
  }
  return run
}

const sentBy = (senderId: string, lane: string) => ({
  senderId,
  lane,
  conversationId: lane,
  clientMessageId: `${lane}.1`,
  acceptances: [{ messageId: `${lane}1`, seq: 1 }] as Send['acceptances']
})

export const pushOf = (seq: number, body: string): TakenPush => ({
  at: seq,
  token: 'token',
  message: {
    data: { message_id: `waiting${seq}`, conversation_id: 'waiting', seq: String(seq) },
    notification: { body }
  }
})

export const sendOf = (counter: number): Send => ({
  clientMessageId: `lane.${counter}`,
  senderId: 'alice',
  lane: 'lane',
  counter,
  conversationId: CONVERSATION,
  content: `says ${counter}`,
  attempts: 1,
  acceptances: []
})

export const readAs = ({ clientMessageId, senderId, content }: Send, n: number): HistoryMessage => ({
  id: `m${n}`,
  seq: n,
  senderId,
  clientMessageId,
  content,
  attachmentIds: [],
  reactions: [],
  deleted: false
})

export const eventIn = (seq: number, type: string, fields: Partial<Event> = {}): Event => ({
  seq,
  epoch: 'epoch',
  type,
  conversationId: CONVERSATION,
  messageId: undefined,
  messageSeq: undefined,
  senderId: undefined,
  clientMessageId: undefined,
  content: undefined,
  attachments: undefined,
  emoji: undefined,
  reactedBy: undefined,
  receiptOf: undefined,
  upToSeq: undefined,
  ...fields
})

const carrying = ({ clientMessageId, senderId, content }: Send, n: number): Partial<Event> =>
  ({ messageId: `m${n}`, messageSeq: n, senderId, clientMessageId, content })

/** As a stream of gRPC tells it. */
const toldOf = (events: Event[]): Told[] => events.filter(event => isShown('grpc', event))
  .map(({ type, messageId, conversationId, content }) =>
    ({ type, messageId: messageId!, conversationId: conversationId!, content }))

const append = (
  log: Event[], type: string, fields: Partial<Event>
): void => { log.push(eventIn(log.length + 1, type, fields)) }
