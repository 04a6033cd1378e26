/** What FCM's answers mean for a push. Source: the FCM v1 reference, ErrorCode. */
import { type PushResult } from '../sender.ts'

/** FCM asks for at least a minute after a 429. */
const QUOTA_PAUSE_MS = 60_000

/** An answer that is no success, as it came. */
export class FcmRefusal extends Error {
  readonly status: number
  /** FcmError's code; undefined when the refusal is not about this push. */
  readonly code: string | undefined
  readonly retryAfterMs: number | undefined

  constructor ({ status, code, detail, retryAfterMs }: {
    status: number, code: string | undefined, detail: string, retryAfterMs: number | undefined
  }) {
    super(detail)
    this.name = 'FcmRefusal'
    this.status = status
    this.code = code
    this.retryAfterMs = retryAfterMs
  }
}

/** There was no room for it in time; FCM has never seen it. */
export class NotSent extends Error {}

export function fcmResult (error: unknown): PushResult {
  if (error instanceof FcmRefusal) return refusal(error)
  if (error instanceof NotSent) return { outcome: 'retry', reason: 'not_sent' }
  const { code = '', message = '' } = error as { code?: string, message?: string }
  if (code === 'app/invalid-credential') return { outcome: 'blocked', detail: `no access token: ${message}` }
  if (code === 'app/network-error' || code === 'app/network-timeout') {
    return { outcome: 'retry', reason: 'network' }
  }
  // What firebase-admin itself finds wrong with a message.
  if (code.startsWith('messaging/')) return { outcome: 'rejected', reason: code }
  return { outcome: 'retry', reason: 'other' }
}

function refusal ({ status, code, message, retryAfterMs }: FcmRefusal): PushResult {
  switch (code) {
    case 'UNREGISTERED': return { outcome: 'token_gone' }
    case 'SENDER_ID_MISMATCH': return { outcome: 'token_foreign' }
    case 'INVALID_ARGUMENT': return { outcome: 'rejected', reason: 'invalid_argument' }
    case 'THIRD_PARTY_AUTH_ERROR': return { outcome: 'retry', reason: 'third_party_auth' }
  }
  if (status === 429) {
    return { outcome: 'retry', reason: 'quota', afterMs: Math.max(QUOTA_PAUSE_MS, retryAfterMs ?? 0) }
  }
  if (status === 503) return { outcome: 'retry', reason: 'unavailable', afterMs: retryAfterMs }
  if (status >= 500) return { outcome: 'retry', reason: 'internal', afterMs: retryAfterMs }
  // Without an FcmError these are about us: no token, no permission, no such project.
  if (status === 401 || status === 403 || status === 404) {
    return { outcome: 'blocked', detail: `FCM answers ${status}: ${message}` }
  }
  return { outcome: 'rejected', reason: status === 400 ? 'invalid_argument' : `status_${status}` }
}
