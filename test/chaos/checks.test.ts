/**
 * Every check is shown a run in which its promise was broken: a check that sees nothing would make
 * the harness worthless.
 */
import { expect, test } from 'vitest'
import { check, CHECKS } from './checks.ts'
import { type DoorKind } from './devices/device.ts'
import {
  changedRun, CONVERSATION, eventIn, perfectRun, pushOf, readAs, sendOf, type Run
} from './perfect-run.ts'

const phoneOf = ({ ledger }: Run, owner: string) => ledger.devices.find(({ userId }) => userId === owner)!
const bobsPhone = (run: Run) => phoneOf(run, 'bob')
const deviceOn = ({ ledger }: Run, wanted: DoorKind) => ledger.devices.find(({ door }) => door === wanted)!
const streamsOf = ({ ledger }: Run, owner: string) => ledger.streams.find(({ userId }) => userId === owner)!
const inboxOf = ({ evidence }: Run, userId: string) => evidence.inboxes.get(userId)!
const historyOf = ({ evidence }: Run, userId: string) =>
  evidence.histories.find(({ readerId }) => readerId === userId)!
const historyIn = ({ evidence }: Run, conversationId: string, readerId: string) =>
  evidence.histories.find(history =>
    history.conversationId === conversationId && history.readerId === readerId)!
const promises = Object.keys(CHECKS)
const promise = (start: string): string => promises.find(text => text.startsWith(start))!

type Breach = [string, string, (run: Run) => void]

const BREACHES: Breach[] = [
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
  ...(['json-acks', 'json-pongs', 'sse'] as const).flatMap((door): Breach[] => [
    [`a device on ${door} lacks an event in the middle`, promise('a device receives its log'), run => {
      deviceOn(run, door).connections.at(-1)!.splice(1, 1)
    }],
    [`a device on ${door} lacks the end of the log`, promise('a device receives its log'), run => {
      deviceOn(run, door).connections.at(-1)!.pop()
    }],
    [`a device on ${door} got an event twice`, promise('a device receives its log'), run => {
      const events = deviceOn(run, door).connections.at(-1)!
      events.splice(1, 0, events[0]!)
    }],
    [`a device on ${door} got two events in the wrong order`, promise('a device receives its log'), run => {
      deviceOn(run, door).connections.at(-1)!.reverse()
    }],
    [`a device on ${door} got another content`, promise('a device receives what'), run => {
      const events = deviceOn(run, door).connections.at(-1)!
      events[0] = { ...events[0]!, messageId: 'm9' }
    }]
  ]),
  ['a device on the JSON WebSocket got what its user has sent', promise('a device receives its log'), run => {
    const { userId, connections } = deviceOn(run, 'json-acks')
    connections[0]!.unshift(inboxOf(run, userId).events[1]!)
  }],
  ['a reader of server-sent events got again what it had', promise('a device receives its log'), run => {
    const [first, second] = deviceOn(run, 'sse').connections
    second!.unshift(first!.at(-1)!)
  }],
  ['a reader of server-sent events lacks what came between two connections', promise(
    'a device receives its log'
  ), run => { deviceOn(run, 'sse').connections[1]!.shift() }],
  ['a stream of gRPC lacks an event in the middle', promise('a stream of gRPC'), run => {
    streamsOf(run, 'alice').streams[0]!.splice(1, 1)
  }],
  ['a stream of gRPC lacks its end, which no history made up for', promise('a stream of gRPC'), run => {
    streamsOf(run, 'bob').streams[1]!.pop()
  }],
  ['a stream of gRPC told an event twice', promise('a stream of gRPC'), run => {
    const [told] = streamsOf(run, 'alice').streams
    told!.splice(1, 0, told![0]!)
  }],
  ['a stream of gRPC told two events in the wrong order', promise('a stream of gRPC'), run => {
    streamsOf(run, 'alice').streams[0]!.reverse()
  }],
  ['a stream of gRPC told what the one before had told', promise('a stream of gRPC'), run => {
    const [first, second] = streamsOf(run, 'bob').streams
    second!.unshift(first!.at(-1)!)
  }],
  ['a message between two streams of gRPC was not in the history', promise('a stream of gRPC'), run => {
    streamsOf(run, 'bob').read.delete('m3')
  }],
  ['a stream of gRPC told another content', promise('a stream of gRPC'), run => {
    const [told] = streamsOf(run, 'alice').streams
    told![0] = { ...told![0]!, content: 'something else' }
  }],
  ['a stream of gRPC told a message of others', promise('a stream of gRPC'), run => {
    const [told] = streamsOf(run, 'alice').streams
    told![0] = { ...told![0]!, conversationId: 'elsewhere' }
  }],
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
    historyOf(run, 'bob').messages.push({ ...readAs(sendOf(5), 5), clientMessageId: undefined })
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

/** Breaches of what is promised about changes, in a run that has some. */
const CHANGES: Breach[] = [
  ['an edit is undone in one history', promise('an accepted edit'), run => {
    historyIn(run, 'changes', 'erin').messages[0]!.content = 'edited once'
  }],
  ['an edit was never told', promise('an accepted edit'), run => {
    inboxOf(run, 'erin').events.splice(2, 1)
  }],
  ['an edit was told before its message', promise('an accepted edit'), run => {
    inboxOf(run, 'erin').events.reverse()
  }],
  ['a device is left with an earlier text', promise('an accepted edit'), run => {
    const events = phoneOf(run, 'erin').connections[0]!
    events[2] = { ...events[2]!, content: 'edited once' }
  }],
  ['a device got a text that was never written', promise('nothing is there'), run => {
    const events = phoneOf(run, 'erin').connections[0]!
    events[1] = { ...events[1]!, content: 'forged' }
  }],
  ['a reaction is gone', promise('an accepted reaction'), run => {
    historyIn(run, 'changes', 'dora').messages[0]!.reactions.pop()
  }],
  ['a reaction is there that nobody made', promise('an accepted reaction'), run => {
    historyIn(run, 'changes', 'dora').messages[0]!.reactions.push('dora 🎉')
  }],
  ['a reaction was told twice', promise('an accepted reaction'), run => {
    inboxOf(run, 'dora').events.push(inboxOf(run, 'dora').events.find(({ emoji }) => emoji !== undefined)!)
  }],
  ['a reaction was not told', promise('an accepted reaction'), run => {
    const { events } = inboxOf(run, 'dora')
    events.splice(events.findIndex(({ emoji }) => emoji !== undefined), 1)
  }],
  ['a participant gets another file', promise('an attachment'), run => {
    run.evidence.downloads.set('file erin', 'another digest')
  }],
  ['a message lost its attachment', promise('an attachment'), run => {
    historyIn(run, 'changes', 'erin').messages[0]!.attachmentIds.pop()
  }],
  ['an erasure does not end', promise('an erasure'), run => { run.evidence.unerased = new Set(['gone']) }],
  ['a message of an erased user is still read', promise('an erasure'), run => {
    Object.assign(historyIn(run, 'left', 'erin').messages[0]!, { content: 'a secret', deleted: false })
  }],
  ['an inbox still has what an erased user said', promise('an erasure'), run => {
    inboxOf(run, 'erin').events.find(({ senderId }) => senderId === 'gone')!.content = 'a secret'
  }],
  ['a message of an erased user left no tombstone', promise('an erasure'), run => {
    historyIn(run, 'left', 'erin').messages.pop()
  }],
  ['the last push is missing', promise('every unacknowledged'), run => { run.evidence.pushes.pop() }],
  ['a push in the middle is missing', promise('every unacknowledged'), run => {
    run.evidence.pushes = [pushOf(1, 'says 1'), pushOf(3, 'says 3')]
  }],
  ['a push speaks of another message', promise('every unacknowledged'), run => {
    run.evidence.pushes[0]!.message.data.message_id = 'waiting3'
  }],
  ['a push goes to a stranger', promise('every unacknowledged'), run => {
    run.evidence.pushes[0]!.token = 'of somebody else'
  }],
  ['a push is repeated without a reason', promise('a push is repeated'), run => {
    run.ledger.struck.push('kill -9 broker-1')
    run.evidence.pushes.push(pushOf(3, 'says 3'))
  }],
  ['a pipelined message overtook another', promise('a sender\'s messages'), run => {
    const { messages } = historyIn(run, 'waiting', 'away')
    ;[messages[1], messages[2]] = [{ ...messages[2]!, seq: 2 }, { ...messages[1]!, seq: 3 }]
  }]
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

test('a run with edits, reactions, files, erasures and pushes has no violation', () => {
  const { ledger, evidence } = changedRun()
  expect(check(ledger, evidence)).toEqual([])
})

test('an edit that is undecided may be read or not', () => {
  const { ledger, evidence } = changedRun()
  ledger.edited.get('changes1')!.edits[1]!.accepted = false
  expect(check(ledger, evidence)).toEqual([])
})

test('a push may be repeated after a fault of the push-bridge', () => {
  const { ledger, evidence } = changedRun()
  ledger.struck.push('kill -9 push-bridge')
  evidence.pushes.push(pushOf(3, 'says 3'))
  expect(check(ledger, evidence)).toEqual([])
})

test.for(CHANGES)('it is seen when %s', ([, broken, breach]) => {
  const run = changedRun()
  breach(run)
  expect(check(run.ledger, run.evidence).map(violation => violation.promise)).toContain(broken)
})

test('every promise has a breach that shows its check at work', () => {
  expect(new Set([...BREACHES, ...CHANGES].map(([, broken]) => broken))).toEqual(new Set(promises))
})
