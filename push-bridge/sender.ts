/** What carries pushes to the phones. Small, so that a test or a log line can take its place. */

export interface Push {
  userId: string
  deviceId: string
  platform: 'android' | 'ios' | 'web'
  token: string
  title: string
  body: string
  data: PushData
  /** Notifications of one conversation stand together, and a newer one takes the place of the older. */
  conversationTag: string
  /** The same for every attempt to tell of one message, so that a repeated one is shown once. */
  collapseId: string
  /** After this time it is not worth showing any more. */
  ttlSeconds: number
}

/** For the app: where to continue. Push services carry strings only. */
export type PushData = Record<'type' | 'message_id' | 'conversation_id' | 'sender_user_id' | 'created_at' | 'seq' | 'epoch', string>

export type PushResult =
  | { outcome: 'ok' }
  /** Not now; `afterMs` when the push service names a time. */
  | { outcome: 'retry', afterMs?: number }
  /** The token leads to no app any more. */
  | { outcome: 'token_gone' }
  /** Refused for good, whoever sends it. */
  | { outcome: 'rejected', reason: string }

export interface PushSender {
  /** At most 500 pushes; one result for each, in order. Throws when it cannot tell: all of them are tried again. */
  send (pushes: Push[]): Promise<PushResult[]>
}
