/**
 * Admins who look on: copies of other users' topics for debugging.
 *
 * A copy is QoS 0, is no delivery, and is dropped when the observer's socket is
 * full. While nobody observes, nothing is copied.
 */
import { eventHead, type EventBody } from '../../core/events.ts'
import { filterMatches, inboxTopic, liveTopic } from '../../core/topics.ts'
import { type Messaging } from '../../messaging/start.ts'
import { type DeviceConnection } from './device-connection.ts'
import { encodePublish } from './packets.ts'

/** Lets the session see what `filter` matches, until it ends or unsubscribes. */
export function watchAsObserver (messaging: Messaging, session: DeviceConnection, filter: string): void {
  const first = session.observed === undefined
  session.observed ??= new Set()
  session.observed.add(filter)
  if (!first) return

  const stop = messaging.wakes.observe({
    inbox ({ userId, seq, body }) {
      if (!sees(userId, inboxTopic(userId))) return
      if (body !== undefined) copy(inboxTopic(userId), seq, body)
      else readAndCopy(userId, seq)
    },
    live (userId, payload) {
      if (sees(userId, liveTopic(userId))) session.writeIfFree(encodePublish(liveTopic(userId), payload))
    }
  })
  session.onClose(stop)

  function sees (userId: string, topic: string): boolean {
    if (!session.identity.admin) return false // a later token may have taken the right away
    if (userId === session.userId && session.subscriptions.qosFor(topic) !== undefined) {
      return false
    } // it has the original
    for (const observed of session.observed ?? []) if (filterMatches(observed, topic)) return true
    return false
  }

  function copy (topic: string, seq: number, body: EventBody): void {
    session.writeIfFree(encodePublish(topic, Buffer.concat([Buffer.from(eventHead(seq)), body.tail])))
  }

  function readAndCopy (userId: string, seq: number): void {
    messaging.inboxLog.after(userId, seq - 1, 1).then(
      events => { for (const event of events) copy(inboxTopic(userId), event.seq, event.body) },
      () => {} // a copy: losing it harms nobody
    )
  }
}
