/**
 * Lanes that send: one user, one conversation, one door, one message at a time,
 * each repeated under its client_message_id until it is decided. So the order in
 * which a lane's messages were accepted is the order of its counter.
 */
import { setMaxListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Device } from './device.ts'
import { type Ledger, type Send } from './ledger.ts'
import { type Population } from './population.ts'
import { type Random } from './random.ts'
import { isTransient, type Rest } from './rest.ts'

const LANES_PER_USER = 2
const MQTT_SHARE = 0.4
const REPEAT_SHARE = 0.02
const GIVE_UP_AFTER_MS = 120_000

export interface Senders {
  /** Starts no more messages and resolves when every lane has had the last one decided. */
  stop (): Promise<void>
}

interface Lane {
  name: string
  userId: string
  conversationId: string
  attempt: (send: Send) => Promise<void>
}

export function startSenders ({ population, rest, ledger, random, ratePerSecond, onAccepted }: {
  population: Population,
  rest: Rest,
  ledger: Ledger,
  random: Random,
  ratePerSecond: number,
  onAccepted: (
    send: Send
  ) => void
}): Senders {
  const lanes = openLanes(population, rest, ledger, random)
  const intervalMs = lanes.length / ratePerSecond * 1_000
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
    await resting(chance.between(0, intervalMs))
    for (let counter = 1; !stopping.signal.aborted; counter++) {
      const send = newSend(lane, counter)
      ledger.sends.set(send.clientMessageId, send)
      if (!await deliver(lane, send, chance)) return
      onAccepted(send)
      await resting(chance.between(0.5, 1.5) * intervalMs)
    }
  }

  async function deliver (lane: Lane, send: Send, chance: Random): Promise<boolean> {
    for (const deadline =
      performance.now() + GIVE_UP_AFTER_MS; performance.now() < deadline; await rest.pause()) {
      send.attempts++
      await lane.attempt(send)
      if (send.acceptances.length === 0) continue
      // A client that missed the answer sends once more, and must get the same one.
      if (chance.chance(REPEAT_SHARE)) await lane.attempt(send)
      return true
    }
    ledger.incident(`${send.clientMessageId} was not decided within ${GIVE_UP_AFTER_MS} ms`)
    return false
  }
}

function openLanes ({ userIds, devices }: Population, rest: Rest, ledger: Ledger, random: Random): Lane[] {
  const lanes = new Map<string, Lane>()
  const conversations = [...ledger.members]
  for (const userId of userIds) {
    const own = conversations.filter(([, members]) => members.has(userId))
    const owned = devices.filter(({ record }) => record.userId === userId)
    for (let i = 0; i < LANES_PER_USER; i++) {
      const [conversationId] = random.pick(own)
      const overMqtt = owned.length > 0 && random.chance(MQTT_SHARE)
      const name = `${userId}.${overMqtt ? 'mqtt' : 'rest'}.${conversationId}`
      const attempt = overMqtt ? attemptOverMqtt(random.pick(owned), ledger) : attemptOverRest(rest, ledger)
      lanes.set(name, { name, userId, conversationId, attempt })
    }
  }
  return [...lanes.values()]
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

export const bodyOf = ({ clientMessageId, conversationId, content }: Send): object =>
  ({ conversation_id: conversationId, content, message_type: 'text', client_message_id: clientMessageId })

const attemptOverRest = (rest: Rest, ledger: Ledger) => async (send: Send): Promise<void> => {
  const answer = await rest.attempt(send.senderId, 'POST', '/messages', bodyOf(send))
  if (answer.status === 201 || answer.status === 200) {
    ledger.accepted(
      send.clientMessageId, { messageId: answer.body.id, seq: answer.body.seq }
    )
  } else if (!isTransient(answer)) {
    ledger.incident(`${send.clientMessageId} was answered ${answer.status} ${JSON.stringify(answer.body)}`)
  }
}

// A PUBACK is a decision even when the reply got lost; a refusal is noted by the device.
const attemptOverMqtt = (device: Device, ledger: Ledger) => async (send: Send): Promise<void> => {
  const decided =
    await device.command({ type: 'send_message', ...bodyOf(send) }).then(() => true, () => false)
  if (decided) ledger.accepted(send.clientMessageId, { messageId: undefined, seq: undefined })
}
