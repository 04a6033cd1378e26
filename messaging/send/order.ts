/**
 * A sender's messages to one conversation are stored in the order they were sent.
 *
 * When one of them could not be stored and may be sent again, those behind it fail too: otherwise they
 * would be stored before it.
 */
import { AppError, DatabaseAway } from '../../core/errors.ts'
import { MAX_WAIT_FOR_AWAY_MS } from '../set-queue.ts'
import { type Send, type WaitingSend } from './queue.ts'

export interface SendOrder {
  /** The send was not stored because of `error`. */
  failed (send: Send, error: Error): void
  /** Why a send must not be stored now. */
  refusal (send: Send): Error | undefined
  /** Why a send that waits does not wait on. Asked in the order in which they wait. */
  giveUp (send: WaitingSend, now: number): Error | undefined
}

/** Of one batch and what waits behind it. */
export function createSendOrder (): SendOrder {
  const failures = new Map<string, Error>()
  let away: DatabaseAway | undefined
  return {
    failed (send, error) {
      if (error instanceof DatabaseAway) away ??= error
      // What is refused for good is not sent again.
      const final = error instanceof AppError && !error.transient
      if (!final) failures.set(keyOf(send), error)
    },
    refusal: send => failures.get(keyOf(send)),
    giveUp (send, now) {
      const key = keyOf(send)
      // What came behind may have waited for less: it gives up all the same.
      if (away !== undefined && now - send.since > MAX_WAIT_FOR_AWAY_MS) failures.set(key, away)
      return failures.get(key)
    }
  }
}

// Neither a user id nor a conversation id has a space.
const keyOf = ({ senderId, draft }: Send): string => `${senderId} ${draft.conversation_id}`
