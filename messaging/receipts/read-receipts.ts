/**
 * Read receipts, cumulative: reading a message reads all earlier ones of its
 * conversation. What a receipt is about is looked up before it joins a batch,
 * for all that arrived meanwhile at once.
 */
import { type AppError, formerMember, overloaded, unknownMessage } from '../../core/errors.ts'
import { type Executor } from '../../store/database.ts'
import { findReadables, type ReadMark, sendersBelow } from '../../store/log/read-marks.ts'
import { outcomeOf, readsTotal } from '../metrics.ts'
import { createSetQueue } from '../set-queue.ts'
import { participantKey } from './marks.ts'

const MAX_WAITING = 20_000

export interface ReadRequest {
  readerId: string
  messageId: string
  /** What the client's clock said; kept, but the server's decides. */
  clientAt?: Date
}

/** A receipt that has been looked up, for the committer. */
export interface PreparedRead {
  mark: ReadMark & { message_id: string }
  /** Senders who may have to learn of it. */
  senders: string[]
}

export interface ReadReceipts {
  /** Resolves when committed. Throws `not_found`, `forbidden` or `unavailable`. */
  read (request: ReadRequest): Promise<void>
  /** Resolves when nothing waits. */
  drained (): Promise<void>
}

/** `commit` resolves when the receipt is committed. */
export function createReadReceipts ({ db, commit }: {
  db: Executor, commit: (prepared: PreparedRead) => Promise<void>
}): ReadReceipts {
  const lookUps = createSetQueue<ReadRequest, PreparedRead>({ run: requests => prepare(db, requests) })
  const open = new Set<Promise<void>>()

  async function read (request: ReadRequest): Promise<void> {
    try {
      if (open.size >= MAX_WAITING) throw overloaded('too many receipts are waiting to be stored')
      await commit(await lookUps.run(request))
      readsTotal.inc({ outcome: 'stored' })
    } catch (error) {
      readsTotal.inc({ outcome: outcomeOf(error) })
      throw error
    }
  }

  return {
    async read (request) {
      const reading = read(request)
      const settled = reading.catch(() => {}).finally(() => { open.delete(settled) })
      open.add(settled)
      await reading
    },
    drained: async () => { await Promise.all(open) }
  }
}

async function prepare (db: Executor, requests: ReadRequest[]): Promise<Array<PreparedRead | AppError>> {
  const found = await findReadables(
    db, requests.map(({ messageId }) => messageId), requests.map(({ readerId }) => readerId))
  // Several receipts of one reader in one conversation are looked up as the furthest of them.
  const furthest = new Map<string, ReadMark>()
  const sendersOf = new Map<string, string[]>()
  const outcomes = requests.map(({ readerId, messageId, clientAt }, i): PreparedRead | AppError => {
    const message = found[i]
    const refusal = refuse(message)
    if (message === undefined || refusal !== undefined) return refusal!
    const { conversation_id, up_to_seq } = message
    const mark =
      { conversation_id, user_id: readerId, up_to_seq, client_at: clientAt ?? null, message_id: messageId }
    const key = participantKey(conversation_id, readerId)
    if ((furthest.get(key)?.up_to_seq ?? -1) < up_to_seq) furthest.set(key, mark)
    if (!sendersOf.has(key)) sendersOf.set(key, [])
    return { mark, senders: sendersOf.get(key)! }
  })
  for (const { conversation_id, user_id, sender_user_id } of await sendersBelow(db, [...furthest.values()])) {
    sendersOf.get(participantKey(conversation_id, user_id))!.push(sender_user_id)
  }
  return outcomes
}

function refuse (message: Awaited<ReturnType<typeof findReadables>>[number]): AppError | undefined {
  if (message === undefined || message.joined_seq === null) return unknownMessage()
  if (message.left_at !== null) return formerMember()
  if (message.seq <= message.joined_seq || (message.hidden && !message.own)) return unknownMessage()
  return undefined
}
