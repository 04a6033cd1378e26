/**
 * Sends: one door-independent function, group commit behind it.
 *
 * Sends that arrive while batches are being committed form the next batch, so
 * the batch size follows the load and an idle server commits a lone message at
 * once. A conversation is in at most one batch at a time: two batches commit in
 * either order, and one sender's messages must not overtake each other.
 */
import { type AppError, overloaded } from '../../core/errors.ts'
import { checkDraft, type MessageDraft } from '../../core/message-rules.ts'
import { type MessageView } from '../../core/views.ts'
import { commitInHalves } from '../log/halves.ts'

const MAX_BATCH = 500
const MAX_BATCHES_IN_FLIGHT = 2
const MAX_WAITING = 20_000
/** A busy conversation takes this much of a batch before the next one has its turn. */
const MAX_TURN = 100

export type Door = 'rest' | 'mqtt'
/** Where a send comes from, and the request it belongs to; for whoever follows it. */
export interface Origin { door: Door, requestId: string }

export interface Send {
  senderId: string
  draft: MessageDraft
  origin?: Origin
}
export interface SendResult { message: MessageView, repeated: boolean }
export type Outcome = SendResult | AppError | undefined

interface Waiting extends Send {
  resolve: (result: SendResult) => void
  reject: (error: unknown) => void
}

export interface Sends {
  /**
   * Resolves when the message is committed. Throws `invalid`, `not_found`, `forbidden` or
   * `conflict` when it is refused for good and `unavailable` when it may be tried again.
   */
  send (send: Send): Promise<SendResult>
  /** Resolves when nothing waits and nothing is being committed. */
  drained (): Promise<void>
  waiting (): number
}

/**
 * `commit` decides a batch: one outcome per send, in order; undefined puts a send
 * back to the front of its conversation (the batch became too large).
 */
export function startSends (commit: (batch: Send[]) => Promise<Outcome[]>): Sends {
  const queues = new Map<string, Waiting[]>() // per conversation, in order of arrival
  const ready = new Set<string>() // conversations with sends and no batch in flight, longest waiting first
  const busy = new Set<string>()
  let waiting = 0
  let inFlight = 0
  let scheduled = false
  const idle: Array<() => void> = []

  function send ({ senderId, draft, origin }: Send): Promise<SendResult> {
    checkDraft(draft)
    if (waiting >= MAX_WAITING) throw overloaded('too many messages are waiting to be stored')
    const conversationId = draft.conversation_id.toLowerCase()
    return new Promise((resolve, reject) => {
      const entry =
        { senderId, draft: { ...draft, conversation_id: conversationId }, origin, resolve, reject }
      const queue = queues.get(conversationId)
      if (queue === undefined) queues.set(conversationId, [entry])
      else queue.push(entry)
      waiting++
      if (!busy.has(conversationId)) ready.add(conversationId)
      schedule()
    })
  }

  // Once per turn of the event loop: everything that was read from the sockets in this turn shares a batch.
  function schedule (): void {
    if (scheduled || inFlight >= MAX_BATCHES_IN_FLIGHT || ready.size === 0) return
    scheduled = true
    setImmediate(() => {
      scheduled = false
      if (ready.size > 0 && inFlight < MAX_BATCHES_IN_FLIGHT) run(takeBatch()).catch(failLoudly)
    })
  }

  function takeBatch (): Waiting[] {
    const batch: Waiting[] = []
    for (const conversationId of ready) {
      const queue = queues.get(conversationId)!
      const taken = queue.splice(0, Math.min(MAX_TURN, MAX_BATCH - batch.length))
      batch.push(...taken)
      ready.delete(conversationId)
      busy.add(conversationId)
      if (batch.length >= MAX_BATCH) break
    }
    waiting -= batch.length
    return batch
  }

  async function run (batch: Waiting[]): Promise<void> {
    inFlight++
    schedule()
    const outcomes = await commitInHalves(batch, commit)
    const putBack: Waiting[] = []
    batch.forEach((entry, i) => {
      const outcome = outcomes[i]
      if (outcome === undefined) putBack.push(entry)
      else if (outcome instanceof Error) entry.reject(outcome)
      else entry.resolve(outcome)
    })
    for (const entry of putBack.reverse()) queues.get(entry.draft.conversation_id)!.unshift(entry)
    waiting += putBack.length
    for (const { draft: { conversation_id: id } } of batch) {
      busy.delete(id)
      if (queues.get(id)?.length === 0) queues.delete(id)
      else if (queues.has(id)) ready.add(id)
    }
    inFlight--
    schedule()
    if (inFlight === 0 && waiting === 0) idle.splice(0).forEach(resolve => resolve())
  }

  return {
    send: async request => await send(request),
    waiting: () => waiting,
    drained: () => inFlight === 0 && waiting === 0
      ? Promise.resolve()
      : new Promise(resolve => { idle.push(resolve) })
  }
}

// run() answers every send of its batch, so reaching this is a defect of the queue itself.
function failLoudly (error: unknown): never {
  throw error
}
