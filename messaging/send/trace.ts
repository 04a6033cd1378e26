/**
 * Sends, seen from outside: counted, timed, and at debug level followed from
 * their door to the commit. Ids only, never contents.
 */
import { type Logger } from 'pino'
import { outcomeOf, sendBatchMessages, sendCommitSeconds, sendsTotal } from '../metrics.ts'
import { type Outcome, type Send, type Sends } from './queue.ts'

export function traceSends (sends: Sends, log: Logger): Sends {
  const count = ({ origin }: Send, outcome: string): void =>
    sendsTotal.inc({ door: origin?.door ?? 'internal', outcome })
  return {
    ...sends,
    async send (send) {
      if (log.isLevelEnabled('debug')) {
        const { senderId, draft, origin } = send
        log.debug({
          request_id: origin?.requestId,
          door: origin?.door,
          user_id: senderId,
          conversation_id: draft.conversation_id
        }, 'a message came in')
      }
      try {
        const result = await sends.send(send)
        count(send, result.repeated ? 'repeated' : 'stored')
        return result
      } catch (error) {
        count(send, outcomeOf(error))
        throw error
      }
    }
  }
}

export function traceCommits (commit: (batch: Send[]) => Promise<Outcome[]>, log: Logger): typeof commit {
  return async batch => {
    const startedAt = performance.now()
    const outcomes = await commit(batch)
    sendCommitSeconds.observe((performance.now() - startedAt) / 1_000)
    sendBatchMessages.observe(batch.length)
    if (log.isLevelEnabled('debug')) outcomes.forEach((outcome, i) => trace(log, batch[i]!, outcome))
    return outcomes
  }
}

function trace (log: Logger, { origin, senderId }: Send, outcome: Outcome): void {
  if (outcome === undefined || outcome instanceof Error) return
  const { id, conversation_id, seq } = outcome.message
  log.debug({
    request_id: origin?.requestId,
    user_id: senderId,
    message_id: id,
    conversation_id,
    seq,
    repeated: outcome.repeated
  }, 'a message is committed')
}
