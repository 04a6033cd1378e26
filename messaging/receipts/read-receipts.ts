/**
 * Read receipts, cumulative: reading a message reads all earlier ones of its
 * conversation. Reads that arrive while one set is being committed form the next.
 */
import { type AppError, formerMember, overloaded, unknownMessage } from '../../core/errors.ts'
import { type Database } from '../../store/database.ts'
import { insertEvents, numberEvents, type AppendedEvent } from '../../store/log/inbox.ts'
import { notePushReads } from '../../store/push/reads.ts'
import { findReadables, raiseRead, sendersBelow, type ReadMark } from '../../store/log/receipts.ts'
import { lockUsers } from '../../store/locks.ts'
import { commitInHalves } from '../log/halves.ts'
import { outcomeOf, readsTotal, receiptsTotal } from '../metrics.ts'
import { wakesFor } from '../log/render.ts'
import { readEvents, readKey } from './marks.ts'
import { type WakeEvent } from '../deliver/wakes.ts'

const MAX_BATCH = 500
/** Who reads one conversation reads the next one soon: other devices are told of both at once. */
const TELL_AFTER_MS = 3_000
const MAX_WAITING = 20_000

export interface ReadRequest {
  readerId: string
  messageId: string
  /** What the client's clock said; kept, but the server's decides. */
  clientAt?: Date
}

export interface ReadReceipts {
  /** Resolves when committed. Throws `not_found`, `forbidden` or `unavailable`. */
  read (read: ReadRequest): Promise<void>
  drained (): Promise<void>
}

interface Waiting { read: ReadRequest, resolve: () => void, reject: (error: unknown) => void }

export function createReadReceipts ({ database, epoch, wake }: {
  database: Database, epoch: string, wake: (events: WakeEvent[]) => void
}): ReadReceipts {
  const waiting: Waiting[] = []
  let running: Promise<void> | undefined

  async function run (): Promise<void> {
    while (waiting.length > 0) {
      const batch = waiting.splice(0, MAX_BATCH)
      const outcomes = await commitInHalves(batch.map(entry => entry.read), commit)
      batch.forEach((entry, i) => {
        const outcome = outcomes[i]
        readsTotal.inc({ outcome: outcome === undefined ? 'stored' : outcomeOf(outcome) })
        if (outcome === undefined) entry.resolve()
        else entry.reject(outcome)
      })
    }
    running = undefined
  }

  async function commit (reads: ReadRequest[]): Promise<Array<AppError | undefined>> {
    const at = new Date()
    const found = await findReadables(
      database.autocommit, reads.map(read => read.messageId), reads.map(read => read.readerId)
    )
    const outcomes: Array<AppError | undefined> = []
    const marks = new Map<string, ReadMark>()
    const messageIds = new Map<string, string>()
    reads.forEach((read, i) => {
      const message = found[i]
      const refusal = refuse(message)
      outcomes.push(refusal)
      if (message === undefined || refusal !== undefined) return
      const key = readKey(message.conversation_id, read.readerId)
      if ((marks.get(key)?.up_to_seq ?? 0) >= message.up_to_seq) return
      marks.set(key, {
        conversation_id: message.conversation_id,
        user_id: read.readerId,
        up_to_seq: message.up_to_seq,
        client_at: read.clientAt ?? null
      })
      messageIds.set(key, read.messageId)
    })
    const events = marks.size === 0 ? [] : await write([...marks.values()], messageIds, at)
    receiptsTotal.inc({ type: 'read' }, events.length)
    if (events.length > 0) wake(wakesFor(epoch, events))
    return outcomes
  }

  async function write (
    marks: ReadMark[], messageIds: Map<string, string>, at: Date
  ): Promise<AppendedEvent[]> {
    return await database.transact(async tx => {
      const concerned = new Set([...marks.map(mark => mark.user_id), ...await sendersBelow(tx, marks)])
      const locked = await lockUsers(tx, [...concerned])
      const receipts = await raiseRead(tx, marks, at)
      const events = numberEvents(readEvents(receipts, messageIds, at), locked)
      await insertEvents(tx, events, at)
      await notePushReads(tx, [...new Set(receipts.map(receipt => receipt.user_id))], new Date(at.getTime() +
        TELL_AFTER_MS))
      return events
    })
  }

  return {
    async read (read) {
      if (waiting.length >= MAX_WAITING) throw overloaded('too many receipts are waiting to be stored')
      await new Promise<void>((resolve, reject) => {
        waiting.push({ read, resolve, reject })
        running ??= new Promise(resolve => setImmediate(resolve)).then(run)
      })
    },
    drained: async () => { await running }
  }
}

function refuse (message: Awaited<ReturnType<typeof findReadables>>[number]): AppError | undefined {
  if (message === undefined || message.joined_seq === null) return unknownMessage()
  if (message.left_at !== null) return formerMember()
  if (message.seq <= message.joined_seq || (message.hidden && !message.own)) return unknownMessage()
  return undefined
}
