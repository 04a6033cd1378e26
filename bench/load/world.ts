/**
 * The users of one run: all are online with a phone, some of them send.
 *
 * Each message carries its number, so that it is recognised wherever it comes
 * back: 201 at the sender, the event at the recipient's phone, and, when the
 * phone's PUBACK is recorded, `message_delivered` at the sender's phone.
 */
import { type Server } from '../server.ts'
import { Device } from './device.ts'
import { HttpClient, parsed } from './http.ts'
import { JsonDevice } from './json-device.ts'
import { seqOf } from './seq.ts'

const AT_ONCE = 32
const SETTLE_TIMEOUT_MS = 60_000
const TEXT = 'the quick brown fox jumps over the lazy dog'
/** Half of a sender's partners are senders too: they write to each other. */
const SHARE_AMONG_SENDERS = 0.5
const DEVICE_ID = 'phone'

export interface WorldOptions {
  users: number
  senders: number
  partners: number
  /** How messages go in: POST /messages, or a command on the MQTT outbox. */
  door: 'rest' | 'mqtt'
  /** What the phones speak; only those with MQTT send commands. */
  phones: 'mqtt' | 'ws'
  /** Whether messages carry a `client_message_id`, as those of a phone that sends again do. */
  clientIds: boolean
  /** Whether POST /messages names the sender's phone. */
  nameDevice: boolean
}

export interface Partner { userId: string, conversationId: string }

export interface User {
  id: string
  http: HttpClient
  device: Device | JsonDevice
  /** Empty for users who only receive. */
  partners: Partner[]
}

/** When a message was sent, and when it was seen where; NaN: not yet. Milliseconds of `performance.now()`. */
export interface Trace { sentAt: number, answeredAt: number, deviceAt: number, receiptAt: number }

export class World implements Disposable {
  readonly users: User[] = []
  readonly senders: User[] = []
  readonly traces: Trace[] = []
  /** Events whose `seq` did not rise, and messages that came twice: while a phone stays connected, none. */
  wrong = 0
  receipted = 0
  #delivered = 0
  /** On a database that is used again, what is left of an earlier run is not mistaken for ours. */
  readonly #mark = Date.now().toString(36)
  readonly #options: WorldOptions
  readonly #server: Server
  /** Delivered and not receipted, by conversation and sender, in order. */
  readonly #awaiting = new Map<string, Array<{ seq: number, number: number }>>()

  constructor (server: Server, options: WorldOptions) {
    this.#server = server
    this.#options = options
  }

  static async open (server: Server, options: WorldOptions): Promise<World> {
    const world = new World(server, options)
    const ids = Array.from({ length: options.users }, (_, i) => userId(i))
    await inTurns(ids, AT_ONCE, async id => { world.users.push(await world.openUser(id)) })
    world.users.sort((a, b) => index(a.id) - index(b.id))
    world.senders.push(...world.users.slice(0, options.senders))
    await inTurns(world.senders, AT_ONCE, async sender => await world.#meetPartners(sender))
    return world
  }

  async openUser (id: string): Promise<User> {
    const token = this.#server.token(id)
    const http = new HttpClient(this.#server.api, {
      authorization: `Bearer ${token}`,
      ...(this.#options.nameDevice ? { 'x-device-id': DEVICE_ID } : {})
    })
    let lastSeq = 0
    const { api: { host }, mqttPort, wsPort } = this.#server
    const options = {
      host,
      userId: id,
      token,
      deviceId: DEVICE_ID,
      onEvent: (payload: string) => {
        const seq = seqOf(payload)
        if (seq <= lastSeq) this.wrong++
        lastSeq = seq
        this.#learn(id, payload)
      }
    }
    const device = this.#options.phones === 'ws'
      ? await JsonDevice.connect({ ...options, port: wsPort! })
      : await Device.connect({ ...options, port: mqttPort })
    return { id, http, device, partners: [] }
  }

  async #meetPartners (sender: User): Promise<void> {
    for (const partner of partnersOf(index(sender.id), this.#options)) {
      await this.meet(sender, userId(partner))
    }
  }

  /** Opens the direct conversation of the two, or finds it. */
  async meet (sender: User, userId: string): Promise<Partner> {
    const conversation = parsed(await sender.http.post('/api/v1/conversations', JSON.stringify({
      type: 'direct', participant_ids: [userId]
    })), 200, 201)
    const partner = { userId, conversationId: conversation.id as string }
    sender.partners.push(partner)
    return partner
  }

  /** Resolves when the message is accepted (201, or PUBACK at the MQTT door). */
  async send (sender: User, { conversationId }: Partner): Promise<void> {
    const number = this.traces.length
    const trace = { sentAt: performance.now(), answeredAt: NaN, deviceAt: NaN, receiptAt: NaN }
    this.traces.push(trace)
    const { door, clientIds } = this.#options
    const mark = `${this.#mark} ${number}`
    const ofClient = clientIds || door === 'mqtt' ? `"client_message_id":"${mark}",` : ''
    const message =
      `"conversation_id":"${conversationId}",${ofClient}"message_type":"text","content":"${mark} ${TEXT}"}`
    if (door === 'mqtt' && sender.device instanceof Device) {
      await sender.device.publish(`user/${sender.id}/outbox`, `{"type":"send_message",${message}`)
    } else {
      const { status, body } = await sender.http.post('/api/v1/messages', `{${message}`)
      if (status !== 201) throw new Error(`${status}: ${body}`)
    }
    trace.answeredAt = performance.now()
  }

  /** All that was sent has arrived and the senders have their receipts. Fails after a minute by default. */
  async settled (withinMs = SETTLE_TIMEOUT_MS): Promise<void> {
    const deadline = performance.now() + withinMs
    while (this.receipted < this.traces.length) {
      if (performance.now() > deadline) {
        const [sent, delivered, receipted] = [this.traces.length, this.#delivered, this.receipted]
        throw new Error(`of ${sent} messages ${delivered} were delivered and ${receipted} receipted in time`)
      }
      await new Promise(resolve => setTimeout(resolve, 10))
    }
  }

  #learn (user: string, payload: string): void {
    if (payload.includes('"type":"new_message"')) this.#arrived(payload)
    else if (payload.includes('"type":"message_delivered"')) this.#receipt(user, payload)
  }

  #arrived (payload: string): void {
    const { message } = JSON.parse(payload)
    if (!message.content.startsWith(this.#mark)) return
    const number = parseInt(message.content.slice(this.#mark.length + 1), 10)
    const trace = this.traces[number]!
    if (Number.isFinite(trace.deviceAt)) {
      this.wrong++
      return
    }
    trace.deviceAt = performance.now()
    this.#delivered++
    const key = `${message.conversation_id} ${message.sender_user_id}`
    const awaiting = this.#awaiting.get(key)
    if (awaiting === undefined) this.#awaiting.set(key, [{ seq: message.seq, number }])
    else awaiting.push({ seq: message.seq, number })
  }

  /** Receipts are cumulative. */
  #receipt (sender: string, payload: string): void {
    const receipt = JSON.parse(payload)
    const awaiting = this.#awaiting.get(`${receipt.conversation_id} ${sender}`) ?? []
    let known = 0
    while (known < awaiting.length && awaiting[known]!.seq <= receipt.up_to_seq) {
      this.traces[awaiting[known++]!.number]!.receiptAt = performance.now()
      this.receipted++
    }
    awaiting.splice(0, known)
  }

  [Symbol.dispose] (): void {
    for (const user of this.users) {
      user.device.close()
      user.http.close()
    }
  }
}

export const userId = (n: number): string => `user-${n}`
const index = (id: string): number => Number(id.slice('user-'.length))

/** The same for every run: a stride through the senders, another one through all users. */
export function partnersOf (sender: number, { users, senders, partners }: WorldOptions): number[] {
  const chosen = new Set<number>()
  const among = Math.min(Math.round(partners * SHARE_AMONG_SENDERS), senders - 1)
  // One step to each side of the ring, then two: the partners of a sender write back.
  for (let step = 1; chosen.size < among; step++) {
    chosen.add((sender + step) % senders)
    if (chosen.size < among) chosen.add((sender - step + senders) % senders)
  }
  for (let k = 0; chosen.size < Math.min(partners, users - 1); k++) {
    const user = (sender * 7 + k * 13 + senders) % users
    if (user !== sender) chosen.add(user)
  }
  return [...chosen]
}

/** Runs `work` for all items, at most `atOnce` at a time. */
export async function inTurns<T> (
  items: Iterable<T>, atOnce: number, work: (item: T) => Promise<void>
): Promise<void> {
  const rest = items[Symbol.iterator]()
  await Promise.all(Array.from({ length: atOnce }, async () => {
    for (let next = rest.next(); next.done !== true; next = rest.next()) await work(next.value)
  }))
}
