/** People who read what came, and senders who ask who has what they sent. */
import { setMaxListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Device } from './devices/device.ts'
import { type Ledger, type Send, type WatchedMessage } from './ledger.ts'
import { type Random } from './random.ts'
import { isTransient, type Rest } from './rest.ts'

const READS_PER_SECOND = 6
const BY_COMMAND_SHARE = 0.4
const POLLS_PER_SECOND = 8
/** One poller asks about this many messages in turn, then takes newer ones. */
const WATCHED_AT_ONCE = 12
const ROUNDS = 10

export interface Readers {
  /** Note a message that may be watched. */
  sent (send: Send): void
  stop (): Promise<void>
  /** Asks once more about every message that was watched. */
  askAgain (): Promise<void>
}

export function startReaders ({ devices, rest, ledger, random }: {
  devices: Device[], rest: Rest, ledger: Ledger, random: Random
}): Readers {
  const stopping = new AbortController()
  setMaxListeners(0, stopping.signal)
  const resting = (ms: number) => sleep(ms, undefined, { signal: stopping.signal }).catch(() => {})
  const newest: Send[] = []
  const running = [readOn(random.stream('reads')), pollOn()]
  return {
    sent (send) {
      newest.push(send)
      if (newest.length > WATCHED_AT_ONCE) newest.shift()
    },
    async stop () {
      stopping.abort()
      await Promise.all(running)
    },
    async askAgain () {
      for (const watched of ledger.watched.values()) await ask(watched, rest.mustGet)
    }
  }

  async function readOn (chance: Random): Promise<void> {
    while (!stopping.signal.aborted) {
      await resting(1_000 / READS_PER_SECOND)
      const device = chance.pick(devices)
      const { userId, door: { newest: event, takesCommands } } = device
      if (event === undefined) continue
      const accepted = chance.chance(BY_COMMAND_SHARE) && takesCommands && device.online
        ? await device
          .command({ type: 'read_receipt', message_id: event.messageId, read_at: new Date().toISOString() })
          .then(() => true, () => false)
        : await readOverRest(userId, event.messageId!)
      if (accepted) {
        ledger.reads.push({ readerId: userId, conversationId: event.conversationId!, seq: event.messageSeq! })
      }
    }
  }

  async function readOverRest (userId: string, messageId: string): Promise<boolean> {
    const answer = await rest.attempt(userId, 'POST', `/messages/${messageId}/read`)
    if (answer.status !== 204 && !isTransient(answer)) {
      ledger.incident(`reading ${messageId} as ${userId} was answered ${answer.status}`)
    }
    return answer.status === 204
  }

  // One question at a time: an answer that was asked for later must not be older.
  async function pollOn (): Promise<void> {
    while (!stopping.signal.aborted) {
      const watching = newest.splice(0).flatMap(({ senderId, acceptances }) => {
        const messageId = acceptances.find(acceptance => acceptance.messageId !== undefined)?.messageId
        return messageId === undefined
          ? []
          : [{ messageId, senderId, observations: [] } satisfies WatchedMessage]
      })
      for (const watched of watching) ledger.watched.set(watched.messageId, watched)
      for (let round = 0; round < ROUNDS; round++) {
        for (const watched of watching) {
          await resting(1_000 / POLLS_PER_SECOND)
          if (stopping.signal.aborted) return
          await ask(watched, async (userId, path) => (await rest.attempt(userId, 'GET', path)).body)
        }
      }
      await resting(1_000 / POLLS_PER_SECOND)
    }
  }

  async function ask (
    watched: WatchedMessage, get: (userId: string, path: string) => Promise<any>
  ): Promise<void> {
    const body = await get(watched.senderId, `/messages/${watched.messageId}/status`)
    if (body?.recipients === undefined) return // a problem, or no answer
    const recipients = Object.fromEntries(body.recipients.map((r: { user_id: string, status: string }) =>
      [r.user_id, r.status]))
    ledger.observed(watched, { status: body.status, recipients })
  }
}
