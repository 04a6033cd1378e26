/** One phone: it comes and goes, sometimes without saying so, and keeps what its inbox brings. */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Node } from './cluster.ts'
import { eventOf, type Event } from './event.ts'
import { type DeviceRecord, type Ledger } from './ledger.ts'
import { MqttConnection } from './mqtt-connection.ts'
import { type Random } from './random.ts'

const SLOW_SHARE = 0.1
const DOZE_SHARE = 0.3
const SLOW_ACK_MS = 150
const COMMAND_WITHIN_MS = 15_000
const OFFLINE_POLL_MS = 100

export interface DeviceOptions {
  record: DeviceRecord
  token: string
  brokers: Node[]
  random: Random
  ledger: Ledger
  /** Never goes away by itself. */
  steady?: boolean
  onEvent?: (event: Event, device: Device) => void
}

export interface Comings {
  connected: number
  refused: number
  left: number
  vanished: number
  halfOpen: number
  dozed: number
  lost: number
}

export class Device {
  readonly record: DeviceRecord
  readonly comings: Comings = {
    connected: 0, refused: 0, left: 0, vanished: 0, halfOpen: 0, dozed: 0, lost: 0
  }

  /** The newest seq it has. */
  lastSeq: number
  /** The newest message of another user that it has. */
  newest: Event | undefined
  readonly #options: DeviceOptions
  readonly #ackDelayMs: number
  readonly #abandoned = new Set<MqttConnection>()
  #connection: MqttConnection | undefined
  #subscribed = false
  #steady: boolean
  #closing = false
  #hurry: () => void = () => {}

  constructor (options: DeviceOptions) {
    this.#options = options
    this.record = options.record
    this.lastSeq = options.record.startSeq
    this.#steady = options.steady ?? false
    this.#ackDelayMs = !this.#steady && options.random.chance(SLOW_SHARE) ? SLOW_ACK_MS : 0
  }

  get online (): boolean { return this.#connection !== undefined && !this.#connection.closed }

  /** Until it is closed. */
  async live (): Promise<void> {
    const { random } = this.#options
    while (!this.#closing) {
      const connection = await this.#connect()
      if (connection === undefined) {
        await sleep(random.between(100, this.#steady ? 200 : 1_500))
        continue
      }
      this.#connection = connection
      this.comings.connected++
      while (!this.#closing && !connection.closed) {
        await Promise.race([
          connection.ended, this.#pause(this.#steady ? undefined : random.between(3_000, 40_000))
        ])
        if (connection.closed) this.comings.lost++
        else if (this.#steady) continue
        else if (random.chance(DOZE_SHARE)) await this.#doze(connection)
        else await this.#goAway(connection)
      }
    }
    this.#connection?.leave()
    for (const connection of this.#abandoned) connection.vanish()
  }

  /** From now on it is online whenever it can be. */
  settle (): void {
    this.#steady = true
    this.#hurry()
  }

  close (): void {
    this.#closing = true
    this.#hurry()
  }

  /** Resolves with the PUBACK; rejects when there was none, and waits while it is offline. */
  async command (command: object): Promise<void> {
    const [decided] = await this.commands([command])
    if (decided !== true) throw new Error('no PUBACK')
  }

  /** All on one connection, in the same tick; says of each whether its PUBACK came. */
  async commands (commands: object[]): Promise<boolean[]> {
    for (const deadline = performance.now() + COMMAND_WITHIN_MS; !this.online; await sleep(OFFLINE_POLL_MS)) {
      if (performance.now() > deadline) throw new Error('offline')
    }
    const connection = this.#connection!
    return await Promise.all(commands.map(command =>
      connection.publish(`user/${this.record.userId}/outbox`, JSON.stringify(command))
        .then(() => true, () => false)))
  }

  async #connect (): Promise<MqttConnection | undefined> {
    const { record, token, brokers, random, ledger } = this.#options
    const { userId, deviceId } = record
    const events: Event[] = []
    let connection: MqttConnection | undefined
    try {
      connection = await MqttConnection.open({
        port: random.pick(brokers).mqttPort,
        userId,
        deviceId,
        token,
        ackDelayMs: this.#ackDelayMs,
        onMessage: (topic, payload) => this.#receive(topic, payload, events)
      })
      record.connections.push(events)
      // A session is there from its first CONNECT on, although the SUBSCRIBE may not have come.
      if (connection.sessionPresent && this.#subscribed) return connection
      if (this.#subscribed) ledger.incident(`${userId}/${deviceId}: the stored session was forgotten`)
      await connection.subscribe(`user/${userId}/#`)
      this.#subscribed = true
      return connection
    } catch (error) {
      this.comings.refused++
      connection?.vanish()
      // A database that is away is told by 3; anything else is wrong here.
      const code = /refused with (\d+)/.exec((error as Error).message)?.[1]
      if (code !== undefined && code !== '3') {
        ledger.incident(`${userId}/${deviceId}: CONNECT was refused with ${code}`)
      }
      return undefined
    }
  }

  #receive (topic: string, payload: Buffer, events: Event[]): void {
    const { ledger, onEvent } = this.#options
    const { userId, deviceId } = this.record
    const json = JSON.parse(payload.toString())
    if (topic === `user/${userId}/inbox`) {
      const event = ledger.intern(userId, eventOf(json))
      events.push(event)
      this.lastSeq = Math.max(this.lastSeq, event.seq)
      if (event.type === 'new_message') this.newest = event
      onEvent?.(event, this)
    } else if (topic === `user/${userId}/replies`) {
      this.#readReply(json)
    } else if (topic !== `user/${userId}/live`) {
      ledger.incident(`${userId}/${deviceId}: received on ${topic}`)
    }
  }

  #readReply (reply: any): void {
    const { ledger } = this.#options
    const id = reply.client_message_id as string | undefined
    if (reply.type === 'accepted' && id !== undefined) {
      ledger.accepted(
        id, { messageId: reply.message.id, seq: reply.message.seq }
      )
    } else if (reply.type === 'rejected') {
      ledger.incident(`${this.record.userId}: ${id} was rejected: ${JSON.stringify(reply.error)}`)
    }
  }

  async #doze (connection: MqttConnection): Promise<void> {
    this.comings.dozed++
    connection.freeze()
    await this.#pause(this.#options.random.between(2_000, 8_000))
    connection.thaw()
  }

  async #goAway (connection: MqttConnection): Promise<void> {
    const { random } = this.#options
    const manner = random.between(0, 1)
    if (manner < 0.4) {
      this.comings.left++
      connection.leave()
    } else if (manner < 0.75) {
      this.comings.vanished++
      connection.vanish()
    } else {
      this.comings.halfOpen++
      connection.abandon()
      this.#abandoned.add(connection)
      setTimeout(() => {
        connection.vanish()
        this.#abandoned.delete(connection)
      }, random.between(10_000, 45_000)).unref()
    }
    await this.#pause(random.chance(0.3) ? 0 : random.between(500, 12_000))
  }

  /** Ends early when the device must settle or close; without a time, only then. */
  async #pause (ms?: number): Promise<void> {
    if (this.#closing || ms === 0 || (this.#steady && ms !== undefined)) return
    await new Promise<void>(resolve => {
      const timer = ms === undefined ? undefined : setTimeout(resolve, ms)
      this.#hurry = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}
