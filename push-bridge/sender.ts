/** What carries pushes to the phones. Small, so that a test or a log line can take its place. */

export interface Push {
  userId: string
  deviceId: string
  platform: 'android' | 'ios' | 'web'
  token: string
  /** Absent where nothing of it may be shown. */
  title?: string
  /** Absent: the app is woken and nothing is shown. */
  body?: string
  /** For the app: where to continue. Push services carry strings only. */
  data: Record<string, string>
  /** Notifications of one conversation stand together, and a newer one takes the place of the older. */
  conversationTag: string
  /** The same for every attempt to tell of one message, so that a repeated one is shown once. */
  collapseId: string
  /** After this time it is not worth showing any more. */
  ttlSeconds: number
  /** Unread messages, muted conversations left out. */
  badge: number
}

export type PushResult =
  | { outcome: 'ok' }
  /** Not now; `afterMs` when the push service names a time. */
  | { outcome: 'retry', afterMs?: number, reason?: RetryReason }
  /** The token leads to no app any more. */
  | { outcome: 'token_gone' }
  /** The token was issued for another project than ours. */
  | { outcome: 'token_foreign' }
  /** Refused for good, however it is sent. */
  | { outcome: 'rejected', reason: string }
  /** The push service takes none of our pushes: a person must act. */
  | { outcome: 'blocked', detail: string }

/** `network`: it may have arrived or not. `not_sent`: it has certainly not. */
export type RetryReason =
  | 'quota' | 'unavailable' | 'internal' | 'third_party_auth' | 'network' | 'not_sent' | 'other'

export interface PushSender {
  /**
   * At most 500 pushes; one result for each, in order. Throws when it cannot tell: all of them are
   * tried again.
   */
  send (pushes: Push[]): Promise<PushResult[]>
}
