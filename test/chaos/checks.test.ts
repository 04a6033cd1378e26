/**
 * Every check is shown a run in which its promise was broken: a check that sees nothing would make
 * the harness worthless.
 */
import { expect, test } from 'vitest'
import { check, CHECKS } from './checks.ts'
import { type Event } from './event.ts'
import { type Evidence, type HistoryMessage } from './evidence.ts'
import { Ledger, type Send } from './ledger.ts'

const CONVERSATION = 'conversation'
const MESSAGES = 4

/** Alice sends bob four messages; bob's phone reconnects in the middle and gets one of them again. */
function perfectRun (): { ledger: Ledger, evidence: Evidence } {
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
    messages.push({
      id: `m${n}`, seq: n, senderId: 'alice', clientMessageId: send.clientMessageId, content: send.content
    })
    append(logs.bob!, 'new_message', carrying(send, n))
    append(logs.alice!, 'message_sent', carrying(send, n))
    append(logs.alice!, 'message_delivered', { messageId: `m${n}`, receiptOf: 'bob', upToSeq: n })
  }
  for (const [userId, events] of Object.entries(logs)) inboxes.set(userId, { lastSeq: events.length, events })
  inboxes.set('carol', { lastSeq: 0, events: [] })
  const bob = logs.bob!
  ledger.devices.push(
    { userId: 'alice', deviceId: 'phone', startSeq: 1, connections: [logs.alice!.slice(1)] },
    { userId: 'bob', deviceId: 'phone', startSeq: 1, connections: [bob.slice(1, 3), [], bob.slice(2)] }
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
  return { ledger, evidence: { inboxes, histories, marks } }
}

const sendOf = (counter: number): Send => ({
  clientMessageId: `lane.${counter}`,
  senderId: 'alice',
  lane:
    'lane',
  counter,
  conversationId: CONVERSATION,
  content: `says ${counter}`,
  attempts: 1,
  acceptances: []
})

const eventIn = (seq: number, type: string, fields: Partial<Event> = {}): Event => ({
  seq,
  epoch: 'epoch',
  type,
  conversationId: CONVERSATION,
  messageId: undefined,
  messageSeq: undefined,
  senderId: undefined,
  clientMessageId: undefined,
  content: undefined,
  receiptOf: undefined,
  upToSeq: undefined,
  ...fields
})

const carrying = ({ clientMessageId, senderId, content }: Send, n: number): Partial<Event> =>
  ({ messageId: `m${n}`, messageSeq: n, senderId, clientMessageId, content })

const append = (
  log: Event[], type: string, fields: Partial<Event>
): void => { log.push(eventIn(log.length + 1, type, fields)) }

type Run = ReturnType<typeof perfectRun>
const bobsPhone = ({ ledger }: Run) => ledger.devices.find(({ userId }) => userId === 'bob')!
const inboxOf = ({ evidence }: Run, userId: string) => evidence.inboxes.get(userId)!
const historyOf = ({ evidence }: Run, userId: string) =>
  evidence.histories.find(({ readerId }) => readerId === userId)!
const promises = Object.keys(CHECKS)
const promise = (start: string): string => promises.find(text => text.startsWith(start))!

const BREACHES: Array<[string, string, (run: Run) => void]> = [
  ['an accepted message is missing in a recipient\'s log', promise('an accepted message'), run => {
    inboxOf(run, 'bob').events.pop()
    inboxOf(run, 'bob').lastSeq--
  }],
  ['an accepted message is in a log twice', promise('an accepted message'), run => {
    const inbox = inboxOf(run, 'bob')
    inbox.events.push({ ...inbox.events.at(-1)!, seq: ++inbox.lastSeq })
  }],
  ['an accepted message is missing in a history', promise(
    'an accepted message'
  ), run => { historyOf(run, 'bob').messages.pop() }],
  ['a PUBACK was sent for a message that is nowhere', promise('an accepted message'), run => {
    run.ledger.sends.set('lane.5', { ...sendOf(5), acceptances: [{ messageId: undefined, seq: undefined }] })
  }],
  ['the sender\'s own device got the wrong kind of event', promise(
    'an accepted message'
  ), run => { inboxOf(run, 'alice').events[1]!.type = 'new_message' }],
  ['a message that was sent twice was answered as two', promise('a message has one id'), run => {
    run.ledger.sends.get('lane.2')!.acceptances.push({ messageId: 'm2-again', seq: 5 })
  }],
  ['a device lacks an event in the middle', promise(
    'a device receives its log'
  ), run => { bobsPhone(run).connections[2]!.splice(1, 1) }],
  ['a device lacks the end of the log', promise(
    'a device receives its log'
  ), run => { bobsPhone(run).connections[2]!.pop() }],
  ['a device got two events in the wrong order', promise(
    'a device receives its log'
  ), run => { bobsPhone(run).connections[2]!.reverse() }],
  ['an event was skipped between two connections', promise(
    'a device receives its log'
  ), run => { bobsPhone(run).connections[2]!.splice(0, 2) }],
  ['an event came twice on one connection', promise('a device receives its log'), run => {
    const events = bobsPhone(run).connections[2]!
    events.push(events.at(-1)!)
  }],
  ['an event from before the cursor was sent', promise(
    'a device receives its log'
  ), run => { bobsPhone(run).connections[0]!.unshift(inboxOf(run, 'bob').events[0]!) }],
  ['a device got another content than the log has', promise('a device receives what'), run => {
    const events = bobsPhone(run).connections[2]!
    events[1] = { ...events[1]!, content: 'something else' }
  }],
  ['a re-delivery differs from the first delivery', promise('a device receives what'), run => {
    const events = bobsPhone(run).connections[2]!
    events[0] = { ...events[0]!, messageId: 'm9' }
  }],
  ['a log has a message that was never sent', promise('nothing is there'), run => {
    const inbox = inboxOf(run, 'bob')
    inbox.events.push(eventIn(++inbox.lastSeq, 'new_message', {
      messageId: 'm9', messageSeq: 5, senderId: 'alice', clientMessageId: 'x', content: 'x'
    }))
  }],
  ['a device got a message that was never sent', promise('nothing is there'), run => {
    bobsPhone(run).connections[1]!.push(eventIn(
      4, 'new_message', { senderId: 'alice', clientMessageId: 'lane.3', content: 'forged' }
    ))
  }],
  ['a history has a message that was never sent', promise('nothing is there'), run => {
    historyOf(run, 'bob').messages.push({
      id: 'm9', seq: 5, senderId: 'alice', clientMessageId: undefined, content: 'x'
    })
  }],
  ['a later message of a sender was given an earlier place', promise('a sender\'s messages'), run => {
    for (const { messages } of run.evidence.histories) {
      ;[messages[1], messages[2]] = [{ ...messages[2]!, seq: 2 }, { ...messages[1]!, seq: 3 }]
    }
  }],
  ['a status fell', promise(
    'a status only rises'
  ), run => { run.ledger.watched.get('m1')!.observations.reverse() }],
  ['a recipient went', promise('a status only rises'), run => {
    run.ledger.watched.get('m1')!.observations.push({ status: 'read', recipients: { dave: 'read' } })
  }],
  ['a status is not the lowest of the recipients', promise('a status only rises'), run => {
    run.ledger.watched.get('m1')!.observations.push({
      status: 'read', recipients: { bob: 'read', dave: 'sent' }
    })
  }],
  ['a receipt in a log reaches less far than the one before', promise(
    'a status only rises'
  ), run => { inboxOf(run, 'alice').events[4]!.upToSeq = 1 }],
  ['an accepted read is not in the marks', promise(
    'a receipt is not lost'
  ), run => { run.evidence.marks.get(CONVERSATION)!.get('bob')!.read = 1 }],
  ['an acknowledgement was never recorded', promise(
    'a receipt is not lost'
  ), run => { run.evidence.marks.get(CONVERSATION)!.get('bob')!.delivered = 3 }],
  ['a message its recipient has is still sent', promise(
    'a receipt is not lost'
  ), run => { run.ledger.watched.get('m1')!.observations.splice(1) }],
  ['an event of a foreign conversation is in a log', promise(
    'no event reaches'
  ), run => { inboxOf(run, 'carol').events.push(eventIn(1, 'new_message')) }],
  ['an event of a foreign conversation reached a device', promise('no event reaches'), run => {
    const events = bobsPhone(run).connections[2]!
    events[0] = { ...events[0]!, conversationId: 'elsewhere' }
  }],
  ['a log has a hole', promise('sequences are dense'), run => { inboxOf(run, 'alice').events.splice(3, 1) }],
  ['a log ends before its last seq', promise(
    'sequences are dense'
  ), run => { inboxOf(run, 'alice').lastSeq++ }],
  ['a conversation has a hole', promise('sequences are dense'), run => {
    for (const { messages } of run.evidence.histories) messages[3] = { ...messages[3]!, seq: 5 }
  }],
  ['the epoch changed', promise(
    'sequences are dense'
  ), run => { inboxOf(run, 'alice').events[3]!.epoch = 'another' }],
  ['a process crashed', promise(
    'nothing unexpected'
  ), run => { run.ledger.incident('broker-1 ended by itself') }]
]

test('a perfect run has no violation', () => {
  const { ledger, evidence } = perfectRun()
  expect(check(ledger, evidence)).toEqual([])
})

test('a message that was never accepted may be stored once, or not at all', () => {
  const { ledger, evidence } = perfectRun()
  ledger.sends.get('lane.4')!.acceptances.length = 0
  ledger.sends.set('lane.5', sendOf(5))
  expect(check(ledger, evidence)).toEqual([])
})

test.for(BREACHES)('it is seen when %s', ([, broken, breach]) => {
  const run = perfectRun()
  breach(run)
  expect(check(run.ledger, run.evidence).map(violation => violation.promise)).toContain(broken)
})

test('every promise has a breach that shows its check at work', () => {
  expect(new Set(BREACHES.map(([, broken]) => broken))).toEqual(new Set(promises))
})
