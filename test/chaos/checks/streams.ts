/**
 * What streams of gRPC told. Their events have no `seq`: each stream must be an unbroken run of the log, as
 * far as this door tells it, and each run begins after the one before.
 */
import { isShown } from '../devices/shown.ts'
import { carriesMessage, describeEvent, type Event } from '../event.ts'
import { type Evidence } from '../evidence.ts'
import { type Ledger, type StreamRecord, type Told } from '../ledger.ts'

export function * streamsTell (ledger: Ledger, { inboxes }: Evidence): Generator<string> {
  const erased = new Set(ledger.erasures.map(({ userId }) => userId))
  const changes = ({ messageId = '', senderId = '' }: Event): boolean =>
    erased.has(senderId) || ledger.edited.has(messageId)
  const tells = (event: Event, told: Told): boolean =>
    event.type === told.type && event.messageId === told.messageId &&
    event.conversationId === told.conversationId && (event.content === told.content || changes(event))
  for (const record of ledger.streams) {
    const log = inboxes.get(record.userId)?.events ?? []
    yield * brokenRuns(record, log.filter(event => isShown('grpc', event)), tells)
    yield * unknownMessages(record, log)
  }
}

type Tells = (event: Event, told: Told) => boolean

function * brokenRuns (
  { userId, deviceId, startSeq, streams }: StreamRecord, log: Event[], tells: Tells
): Generator<string> {
  let from = log.findIndex(({ seq }) => seq > startSeq)
  for (const [index, told] of streams.entries()) {
    if (told.length === 0) continue
    const { at, length } = longestRun(log, told, from < 0 ? log.length : from, tells)
    if (length < told.length) {
      const { type, messageId } = told[length]!
      const wanted = log[at + length]
      yield `${userId}/${deviceId}: stream ${index + 1} told ${type} ${messageId} as event ${length + 1}; ` +
        `the log has ${wanted === undefined ? 'nothing' : describeEvent(wanted)}`
    }
    from = at + length
  }
}

/** The place in the log, from `from` on, where the most of what was told follows. */
function longestRun (
  log: Event[], told: Told[], from: number, tells: Tells
): { at: number, length: number } {
  let longest = { at: from, length: 0 }
  for (let at = from; at < log.length && longest.length < told.length; at++) {
    const run = log.slice(at, at + told.length)
    const broken = run.findIndex((event, i) => !tells(event, told[i]!))
    const length = broken < 0 ? run.length : broken
    if (length > longest.length) longest = { at, length }
  }
  return longest
}

function * unknownMessages (
  { userId, deviceId, startSeq, streams, read }: StreamRecord, log: Event[]
): Generator<string> {
  const told = new Set(streams.flat().filter(carriesMessage).map(({ messageId }) => messageId))
  for (const event of log.filter(event => event.seq > startSeq && carriesMessage(event))) {
    if (told.has(event.messageId!) || read.has(event.messageId!)) continue
    yield `${userId}/${deviceId} was not told ${describeEvent(event)}, and has not read it`
  }
}
