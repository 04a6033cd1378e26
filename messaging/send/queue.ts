/**
 * Sends that wait for their batch: a queue per conversation, served in turn.
 *
 * Within a conversation order is kept. A conversation takes part of a batch
 * before the next one has its turn, so a busy one delays no other.
 */
import { type AppError, overloaded } from '../../core/errors.ts'
import { checkDraft, type MessageDraft } from '../../core/message-rules.ts'
import { type MessageView } from '../../core/views.ts'
import { PassingMap } from '../passing-map.ts'

const MAX_BATCH = 500
const MAX_OF_ONE_CONVERSATION = 100
const MAX_WAITING = 20_000

export type Door = 'rest' | 'mqtt' | 'websocket' | 'grpc'
/** Where a send comes from, and the request it belongs to, for the log. */
export interface Origin { door: Door, requestId: string }

export interface Send {
  senderId: string
  draft: MessageDraft
  origin?: Origin
  /** The device that is answered with the message, and needs no event of it. */
  deviceId?: string
}
export interface SendResult { message: MessageView, repeated: boolean }
/** Undefined: the batch became too large, the send waits for the next one. */
export type SendOutcome = SendResult | AppError | undefined

export interface WaitingSend extends Send {
  /** When it came (performance.now()). */
  since: number
  resolve: (result: SendResult) => void
  reject: (error: unknown) => void
}

export interface SendQueue {
  /** Resolves when the message is committed. Throws `unavailable` when too many wait. */
  add (send: Send): Promise<SendResult>
  /** The next batch, taken out of the queue, without the conversations that are in flight. */
  take (inFlight?: (conversationId: string) => boolean): WaitingSend[]
  /** Puts sends back in front, in their order. */
  putBack (sends: WaitingSend[]): void
  /** Takes out what waits for one conversation. */
  takeOf (conversationId: string): WaitingSend[]
  /** Fails those that wait and for which there is a reason. */
  fail (reason: (send: WaitingSend) => Error | undefined): void
  size (): number
}

/** Checks a send and gives it a place. Resolves when it is committed. Throws `invalid` at once. */
export async function enqueue (
  { draft, ...rest }: Send, queueOf: (conversationId: string) => SendQueue
): Promise<SendResult> {
  checkDraft(draft)
  const conversation_id = draft.conversation_id.toLowerCase()
  return await queueOf(conversation_id).add({ draft: { ...draft, conversation_id }, ...rest })
}

/** `added` hears of every send that waits. */
export function createSendQueue (added: () => void): SendQueue {
  const conversations = new PassingMap<string, WaitingSend[]>() // the one that has waited longest first
  let size = 0

  return {
    async add (send) {
      if (size >= MAX_WAITING) throw overloaded('too many messages are waiting to be stored')
      const { conversation_id } = send.draft
      return await new Promise((resolve, reject) => {
        const waiting = { since: performance.now(), resolve, reject, ...send }
        const queue = conversations.get(conversation_id)
        if (queue === undefined) conversations.set(conversation_id, [waiting])
        else queue.push(waiting)
        size++
        added()
      })
    },

    take (inFlight) {
      const batch: WaitingSend[] = []
      let turn: Iterable<[string, WaitingSend[]]> = conversations
      let left: Array<[string, WaitingSend[]]>
      do {
        left = []
        for (const [id, queue] of turn) {
          if (batch.length >= MAX_BATCH) break
          if (inFlight?.(id) === true) continue
          conversations.delete(id)
          const taken = queue.splice(0, Math.min(MAX_OF_ONE_CONVERSATION, MAX_BATCH - batch.length))
          batch.push(...taken)
          if (queue.length > 0) left.push([id, queue])
        }
        for (const [id, queue] of left) conversations.set(id, queue) // behind the others
        turn = left
      } while (left.length > 0 && batch.length < MAX_BATCH)
      size -= batch.length
      return batch
    },

    putBack (sends) {
      for (const send of sends.toReversed()) {
        const queue = conversations.get(send.draft.conversation_id)
        if (queue === undefined) conversations.set(send.draft.conversation_id, [send])
        else queue.unshift(send)
      }
      size += sends.length
    },

    takeOf (conversationId) {
      const sends = conversations.get(conversationId) ?? []
      conversations.delete(conversationId)
      size -= sends.length
      return sends
    },

    fail (reason) {
      for (const [id, queue] of conversations) {
        const left = queue.filter(send => {
          const error = reason(send)
          if (error !== undefined) send.reject(error)
          return error === undefined
        })
        size -= queue.length - left.length
        if (left.length === 0) conversations.delete(id)
        else conversations.set(id, left)
      }
    },

    size: () => size
  }
}
