/**
 * Pushes to absent users. Pushes merge: one speaks of as many messages of its
 * conversation as its text counts, up to its seq.
 */
import { type TakenPush } from '../../../tools/fake-fcm/server.ts'
import { type Event } from '../event.ts'
import { type Evidence } from '../evidence.ts'
import { grouped } from '../grouped.ts'
import { type Ledger } from '../ledger.ts'

/** What may be struck between FCM's answer and its record. */
const EXPLAINS_REPETITION = /push-bridge|echo|postgres/i

export function * everyMessagePushed (
  { absent }: Ledger, { inboxes, pushes }: Evidence
): Generator<string> {
  const byToken = grouped(pushes, ({ token }) => token)
  for (const [token, userId] of absent) {
    const messages = (inboxes.get(userId)?.events ?? []).filter(({ type }) => type === 'new_message')
    const told = new Set<Event>()
    for (const { message: { data, notification } } of byToken.get(token) ?? []) {
      const spokenOf = messages.filter(({ seq, conversationId }) =>
        conversationId === data.conversation_id && seq <= Number(data.seq))
      const newest = spokenOf.at(-1)
      if (newest?.seq !== Number(data.seq) || newest.messageId !== data.message_id) {
        yield `${userId} got a push of ${data.message_id} as seq ${data.seq}; ` +
          `the log has ${newest?.messageId}`
      }
      for (const event of spokenOf.slice(-countOf(notification))) told.add(event)
    }
    for (const { seq, messageId } of messages.filter(event => !told.has(event))) {
      yield `${userId} was not told of ${messageId} (seq ${seq})`
    }
  }
  for (const token of byToken.keys()) {
    if (!absent.has(token)) yield `somebody without a registered phone got a push: ${token}`
  }
}

const countOf = (notification: { body?: string } | undefined): number =>
  Number(/^(\d+) new messages\b/.exec(notification?.body ?? '')?.[1] ?? 1)

export function * pushedOnce ({ struck }: Ledger, { pushes }: Evidence): Generator<string> {
  if (struck.some(fault => EXPLAINS_REPETITION.test(fault))) return
  for (const { token, message: { data } } of repeatedPushes(pushes)) {
    yield `${token} got a second push of ${data?.message_id} (seq ${data?.seq})`
  }
}

/** Pushes that tell nothing new. */
export function repeatedPushes (pushes: TakenPush[]): TakenPush[] {
  const told = new Map<string, number>()
  return pushes.filter(({ token, message: { data } }) => {
    const key = `${token} ${data?.conversation_id}`
    const before = told.get(key) ?? 0
    told.set(key, Math.max(before, Number(data?.seq)))
    return Number(data?.seq) <= before
  })
}
