/** Sends any number of pushes and learns from the answers what concerns more than one of them. */
import { type Logger } from 'pino'
import { withinMs } from '../core/deadline.ts'
import { type Gate } from './pace/gate.ts'
import { failedPushes, sentPushes } from './metrics.ts'
import { type Push, type PushResult, type PushSender } from './sender.ts'
import { type Trust } from './pace/trust.ts'

const MAX_PUSHES_PER_SEND = 500

export interface Dispatched {
  results: PushResult[]
  /** Tokens said to be gone may be forgotten. */
  believed: boolean
}

/** Hears of every push and what became of it. */
export type OnSent = (push: Push, result: PushResult) => void

export type Dispatch = (pushes: Push[]) => Promise<Dispatched>

export function createDispatch ({ sender, gate, trust, sendTimeoutMs, onSent, log }: {
  sender: PushSender, gate: Gate, trust: Trust, sendTimeoutMs: number, onSent?: OnSent, log: Logger
}): Dispatch {
  async function sendPart (part: Push[]): Promise<PushResult[]> {
    try {
      const results = await withinMs(sendTimeoutMs, sender.send(part))
      if (results === undefined) {
        throw new Error(`the push service has not answered within ${sendTimeoutMs} ms`)
      }
      return part.map((push, i): PushResult => results[i] ?? { outcome: 'retry' })
    } catch (error) {
      log.warn({ err: error, pushes: part.length }, 'pushes could not be sent and will be tried again')
      return part.map((): PushResult => ({ outcome: 'retry' }))
    }
  }

  return async pushes => {
    const parts: Push[][] = []
    for (let i = 0; i < pushes.length; i += MAX_PUSHES_PER_SEND) {
      parts.push(pushes.slice(i, i + MAX_PUSHES_PER_SEND))
    }
    const results = withBrokenTokens(pushes, (await Promise.all(parts.map(sendPart))).flat())
    gate.learn(pushes, results)
    const believed = trust.judge(countDevices(pushes, results))
    report(pushes, results, log)
    if (onSent !== undefined) pushes.forEach((push, i) => onSent(push, results[i]!))
    return { results, believed }
  }
}

// FCM calls a broken token an invalid argument, and an invalid payload too. A payload that
// another device has taken as it is cannot be at fault.
function withBrokenTokens (pushes: Push[], results: PushResult[]): PushResult[] {
  const taken = new Set(pushes.filter((_, i) => results[i]!.outcome === 'ok').map(payloadOf))
  return results.map((result, i) => result.outcome === 'rejected' && result.reason === 'invalid_argument' &&
    taken.has(payloadOf(pushes[i]!))
    ? { outcome: 'token_gone' }
    : result)
}

const payloadOf = ({ platform, title, body, data }: Push): string =>
  JSON.stringify([platform, title, body, data])

function countDevices (pushes: Push[], results: PushResult[]): { taken: number, refused: number } {
  const taken = results.filter(({ outcome }) => outcome === 'ok').length
  const refused =
    new Set(pushes.filter((_, i) => /^token_/.test(results[i]!.outcome)).map(push => push.token)).size
  return { taken, refused }
}

function report (pushes: Push[], results: PushResult[], log: Logger): void {
  results.forEach((result, i) => {
    const { userId, deviceId, body, data } = pushes[i]!
    if (result.outcome === 'ok') return sentPushes.inc({ kind: body === undefined ? 'read' : 'message' })
    failedPushes.inc({ reason: reasonOf(result) })
    if (result.outcome === 'rejected' || result.outcome === 'token_foreign') {
      log.warn({
        user_id: userId, device_id: deviceId, message_id: data.message_id, reason: reasonOf(result)
      }, 'a push was rejected')
    }
  })
}

function reasonOf (result: Exclude<PushResult, { outcome: 'ok' }>): string {
  if (result.outcome === 'retry') return result.reason ?? 'other'
  return result.outcome === 'rejected' ? result.reason : result.outcome
}
