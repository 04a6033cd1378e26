/**
 * Aedes's emitter with the users' own topics fenced off.
 *
 * Nothing below `user/` is ever emitted or listened to: pumps deliver inboxes,
 * and no subscriber may receive a command. Everything else (topics granted by
 * `acl`, `$SYS`) goes on to the real emitter.
 *
 * A message holds one of the emitter's few places until all its receivers are
 * done with it, and a receiver is done when its socket has drained. So the
 * emitter waits for no receiver: handlers/forward.ts ends connections that fall behind.
 */
import mqemitter from 'mqemitter'
import { isUserTopic } from '../../core/topics.ts'

type Done = (error?: Error | null) => void
type Receive = (packet: { topic: string }, done: Done) => void

export interface Emitter {
  on (topic: string, receive: Receive, done?: Done): unknown
  removeListener (topic: string, receive: Receive, done?: Done): unknown
  emit (packet: { topic: string }, done?: Done): unknown
  close (done?: Done): unknown
}

const CONCURRENCY = 100
/**
 * Packets of one subscription that its receiver is not done with. More than
 * handlers/forward.ts keeps for a full socket, so this only bounds what waits for a slow store.
 */
const MAX_UNFINISHED = 2_000

export function createFencedEmitter (
  inner: Emitter = mqemitter({ concurrency: CONCURRENCY, matchEmptyLevels: true })
): Emitter {
  const released = new WeakMap<Receive, Receive>()
  const release = (receive: Receive): Receive => {
    const known = released.get(receive) ?? withoutWaiting(receive)
    released.set(receive, known)
    return known
  }
  const skip = (done?: Done): void => { if (done !== undefined) setImmediate(done) }
  return {
    on: (topic, receive, done) => isUserTopic(topic) ? skip(done) : inner.on(topic, release(receive), done),
    removeListener: (topic, receive, done) =>
      isUserTopic(topic) ? skip(done) : inner.removeListener(topic, release(receive), done),
    emit: (packet, done) => isUserTopic(packet.topic) ? skip(done) : inner.emit(packet, done),
    close: done => inner.close(done)
  }
}

function withoutWaiting (receive: Receive): Receive {
  let unfinished = 0
  return (packet, done) => {
    if (unfinished >= MAX_UNFINISHED) return receive(packet, done)
    unfinished++
    receive(packet, () => { unfinished-- })
    setImmediate(done)
  }
}
