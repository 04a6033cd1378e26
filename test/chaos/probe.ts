/** Whether the whole way works: a message through each API arrives at a device on each broker. */
import { setTimeout as sleep } from 'node:timers/promises'
import { token, type Cluster, type Node } from './cluster.ts'
import { Device } from './devices/device.ts'
import { mqttDoor } from './devices/mqtt.ts'
import { type Ledger, type Send } from './ledger.ts'
import { takeSnapshot } from './population.ts'
import { type Random } from './random.ts'
import { isTransient, type Rest } from './rest.ts'
import { bodyOf } from './lanes.ts'

const SENDER = 'probe-sender'
const WATCHER = 'probe-watcher'
const RETRY_MS = 250
const POLL_MS = 5
const DEADLINE_MS = 90_000

export const isProbe = ({ senderId }: Send): boolean => senderId === SENDER

export interface Probe {
  userIds: string[]
  devices: Device[]
  /** Milliseconds until a message sent from now on, through any API, reached a device on any broker. */
  first (): Promise<number>
  /**
   * Milliseconds until messages sent from now on, through every API, reached the devices on every
   * broker. Throws after 90 s.
   */
  whole (): Promise<number>
}

export async function openProbe ({ cluster, rest, ledger, random }: {
  cluster: Cluster, rest: Rest, ledger: Ledger, random: Random
}): Promise<Probe> {
  const { id: conversationId } =
    await rest.must(SENDER, 'POST', '/conversations', { type: 'direct', participant_ids: [WATCHER] })
  ledger.members.set(conversationId, new Set([SENDER, WATCHER]))
  const arrivals = new Map<string, Set<Device>>()
  const devices: Device[] = []
  for (const broker of cluster.brokers) {
    const deviceId = `on-${broker.name}`
    const record = await takeSnapshot(rest, { userId: WATCHER, deviceId, door: 'mqtt' })
    ledger.devices.push(record)
    const chance = random.stream(broker.name)
    const door = mqttDoor({
      record,
      token: await token(WATCHER),
      brokers: [broker],
      random: chance,
      ledger,
      onEvent: event => arrivals.get(event.clientMessageId ?? '')?.add(device)
    })
    const device = new Device({ userId: WATCHER, deviceId, door, random: chance, steady: true })
    devices.push(device)
  }
  let probes = 0

  /** Sends a fresh message again and again until one of them is on so many devices. */
  async function reach (api: Node, deviceCount: number, signal: AbortSignal): Promise<void> {
    const sent: string[] = []
    const arrived = (): boolean => sent.some(id => arrivals.get(id)!.size >= deviceCount)
    while (!arrived() && !signal.aborted) {
      sent.push(sendOne(api))
      for (const next =
        performance.now() + RETRY_MS; performance.now() < next && !arrived();) await sleep(POLL_MS)
    }
    for (const id of sent) arrivals.delete(id)
  }

  function sendOne (api: Node): string {
    const name = `probe.${api.name}.${++probes}`
    // A lane of its own: probes through several APIs have no order among them.
    const send = {
      clientMessageId: name,
      senderId: SENDER,
      lane: name,
      counter: 1,
      conversationId,
      content: name,
      attempts: 1,
      acceptances: []
    }
    ledger.sends.set(name, send)
    arrivals.set(name, new Set())
    rest.once(api, SENDER, 'POST', '/messages', bodyOf(send)).then(answer => {
      if (answer.status === 201) ledger.accepted(name, { messageId: answer.body.id, seq: answer.body.seq })
      else if (!isTransient(answer)) {
        ledger.incident(`${name} was answered ${answer.status} ${JSON.stringify(answer.body)}`)
      }
    }, () => {})
    return name
  }

  async function timed (way: (signal: AbortSignal) => Promise<unknown>): Promise<number> {
    const began = performance.now()
    const over = new AbortController()
    const timer = setTimeout(() => over.abort(), DEADLINE_MS)
    try {
      await way(over.signal)
      if (over.signal.aborted) throw new Error(`no message came through within ${DEADLINE_MS} ms`)
      return performance.now() - began
    } finally {
      clearTimeout(timer)
      over.abort()
    }
  }

  return {
    userIds: [SENDER, WATCHER],
    devices,
    first: () => timed(signal => Promise.race(cluster.apis.map(api => reach(api, 1, signal)))),
    whole: () => timed(signal => Promise.all(cluster.apis.map(api => reach(api, devices.length, signal))))
  }
}
