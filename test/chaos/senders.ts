/**
 * Sending on lanes: each message is repeated under its client_message_id until it
 * is decided, and what a lane resends it resends in order. So the order in which
 * a lane's messages were accepted is the order of its counter.
 */
import { setMaxListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Lane } from './lanes.ts'
import { type Ledger, type Send } from './ledger.ts'
import { type Random } from './random.ts'
import { type Rest } from './rest.ts'

const REPEAT_SHARE = 0.02
/** Two faults of a minute may follow each other. */
const GIVE_UP_AFTER_MS = 240_000

export interface Senders {
  /** Starts no more messages and resolves when every lane has had the last one decided. */
  stop (): Promise<void>
}

export function startSenders ({ lanes, rest, ledger, random, onAccepted }: {
  lanes: Lane[],
  rest: Rest,
  ledger: Ledger,
  random: Random,
  onAccepted: (send: Send) => void
}): Senders {
  const stopping = new AbortController()
  setMaxListeners(0, stopping.signal)
  const running = lanes.map(lane => run(lane, random.stream(lane.name)))
  return {
    async stop () {
      stopping.abort()
      await Promise.all(running)
    }
  }

  async function run (lane: Lane, chance: Random): Promise<void> {
    const resting = (ms: number) => sleep(ms, undefined, { signal: stopping.signal }).catch(() => {})
    await resting(chance.between(0, lane.intervalMs))
    for (let counter = 1; !stopping.signal.aborted;) {
      const sends = Array.from({ length: Math.ceil(chance.between(0, lane.window)) }, () =>
        newSend(lane, counter++))
      if (lane.attach !== undefined) {
        for (const send of sends) {
          send.attachmentId = await lane.attach()
          if (send.attachmentId === undefined) return
        }
      }
      for (const send of sends) ledger.sends.set(send.clientMessageId, send)
      if (!await deliver(lane, sends, chance)) return
      for (const send of sends) onAccepted(send)
      await resting(chance.between(0.5, 1.5) * lane.intervalMs * sends.length)
    }
  }

  async function deliver (lane: Lane, sends: Send[], chance: Random): Promise<boolean> {
    let undecided = sends
    for (const deadline = performance.now() + GIVE_UP_AFTER_MS; performance.now() < deadline;) {
      for (const send of undecided) send.attempts++
      await lane.attempt(undecided)
      undecided = undecided.filter(send => send.acceptances.length === 0)
      if (undecided.length === 0) {
        // A client that missed the answers sends once more, and must get the same ones.
        if (chance.chance(REPEAT_SHARE)) await lane.attempt(sends)
        return true
      }
      await rest.pause()
    }
    for (const { clientMessageId } of undecided) {
      ledger.incident(`${clientMessageId} was not decided within ${GIVE_UP_AFTER_MS} ms`)
    }
    return false
  }
}

const newSend = ({ name, userId, conversationId }: Lane, counter: number): Send => ({
  clientMessageId: `${name}.${counter}`,
  senderId: userId,
  lane: name,
  counter,
  conversationId,
  content: `${name} says ${counter}`,
  attempts: 0,
  acceptances: []
})
