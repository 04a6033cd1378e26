/**
 * Observers: admins who debug with copies of other users' topics.
 *
 * A copy is QoS 0, is no delivery, and is dropped when the observer's socket is
 * full. Without observers, nothing is copied.
 */
import { eventHead, type EventBody } from '../../core/events.ts'
import { filterMatches, inboxTopic, liveTopic } from '../../core/topics.ts'
import { type Messaging } from '../../messaging/start.ts'
import { type DeviceConnection } from './device-connection.ts'
import { encodePublish } from './packets.ts'

/** Copies to the connection what `filter` matches, until it closes or unsubscribes. */
export function watchAsObserver (messaging: Messaging, connection: DeviceConnection, filter: string): void {
  const first = connection.observed === undefined
  connection.observed ??= new Set()
  connection.observed.add(filter)
  if (!first) return

  const stop = messaging.wakes.observe({
    inbox ({ userId, seq, body }) {
      if (!sees(userId, inboxTopic(userId))) return
      if (body !== undefined) copy(inboxTopic(userId), seq, body)
      else readAndCopy(userId, seq)
    },
    live (userId, payload) {
      const topic = liveTopic(userId)
      if (sees(userId, topic)) connection.socket.writeIfFree(encodePublish(topic, payload))
    }
  })
  connection.onClose(stop)

  function sees (userId: string, topic: string): boolean {
    if (!connection.identity.admin) return false // a later token may have taken the right away
    // It has the original.
    if (userId === connection.userId && connection.subscriptions.qosFor(topic) !== undefined) return false
    for (const observed of connection.observed ?? []) if (filterMatches(observed, topic)) return true
    return false
  }

  function copy (topic: string, seq: number, body: EventBody): void {
    const payload = Buffer.concat([Buffer.from(eventHead(seq)), body.tail])
    connection.socket.writeIfFree(encodePublish(topic, payload))
  }

  function readAndCopy (userId: string, seq: number): void {
    messaging.inboxLog.after(userId, seq - 1, 1).then(
      events => { for (const event of events) copy(inboxTopic(userId), event.seq, event.body) },
      () => {} // an observer may miss a copy
    )
  }
}
