/**
 * Aedes's emitter with the users' own topics fenced off.
 *
 * Nothing below `user/` is ever emitted or listened to: inboxes are the pumps'
 * business, and a command must reach nobody. Everything else (topics granted by
 * `acl`, `$SYS`) goes on to the real emitter.
 */
import mqemitter from 'mqemitter'
import { isUserTopic } from '../core/topics.ts'

type Done = (error?: Error | null) => void
type Receive = (packet: { topic: string }, done: Done) => void

export interface Emitter {
  on (topic: string, receive: Receive, done?: Done): unknown
  removeListener (topic: string, receive: Receive, done?: Done): unknown
  emit (packet: { topic: string }, done?: Done): unknown
  close (done?: Done): unknown
}

const CONCURRENCY = 100

export function fencedEmitter (inner: Emitter = mqemitter({ concurrency: CONCURRENCY, matchEmptyLevels: true })): Emitter {
  const skip = (done?: Done): void => { if (done !== undefined) setImmediate(done) }
  return {
    on: (topic, receive, done) => isUserTopic(topic) ? skip(done) : inner.on(topic, receive, done),
    removeListener: (topic, receive, done) => isUserTopic(topic) ? skip(done) : inner.removeListener(topic, receive, done),
    emit: (packet, done) => isUserTopic(packet.topic) ? skip(done) : inner.emit(packet, done),
    close: done => inner.close(done)
  }
}
