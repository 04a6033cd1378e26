/**
 * Sends, followed from their door to the commit: counted and timed, and logged
 * at debug level. Ids only, never contents.
 */
import { type Logger } from 'pino'
import { findAppError } from '../../core/errors.ts'
import { outcomeOf, sendsTotal } from '../metrics.ts'
import { type Door, type Send, type SendOutcome, type SendResult } from './queue.ts'

export interface SendTrace {
  cameIn (send: Send): void
  committed (send: Send, outcome: SendOutcome | Error): void
  /** What its sender is told. */
  ended (send: Send, outcome: SendResult | Error): void
}

/** Counts a message that a door could not take, before it was known whose it is. What is refused is not. */
export function countTurnedAway (door: Door, error: unknown): void {
  const fault = findAppError(error)?.fault
  if (fault === undefined || fault === 'unavailable') sendsTotal.inc({ door, outcome: 'failed' })
}

export const createSendTrace = (log: Logger): SendTrace => ({
  cameIn ({ origin, senderId, draft }) {
    if (!log.isLevelEnabled('debug')) return
    log.debug({
      request_id: origin?.requestId,
      door: origin?.door,
      user_id: senderId,
      conversation_id: draft.conversation_id
    }, 'a message came in')
  },
  committed ({ origin, senderId }, outcome) {
    if (!log.isLevelEnabled('debug') || outcome === undefined || outcome instanceof Error) return
    const { message: { id, conversation_id, seq }, repeated } = outcome
    log.debug({
      request_id: origin?.requestId, user_id: senderId, message_id: id, conversation_id, seq, repeated
    }, 'a message is committed')
  },
  ended ({ origin }, outcome) {
    const kind = outcome instanceof Error ? outcomeOf(outcome) : outcome.repeated ? 'repeated' : 'stored'
    sendsTotal.inc({ door: origin?.door ?? 'internal', outcome: kind })
  }
})
