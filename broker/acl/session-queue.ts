/**
 * Moves one stored session of `acl` topics through its queue in Redis.
 *
 * What Aedes hears from other nodes is only the hint to look: messages with QoS 1
 * and 2 come to a stored session from its queue and from nowhere else. So those
 * that waited come before those that are published meanwhile, and none twice.
 *
 * At most WINDOW messages are in flight, from PUBLISH to PUBACK or PUBCOMP, and
 * nothing is read while the socket is full.
 */
import { generate } from 'mqtt-packet'
import { type Logger } from 'pino'
import { filterMatches } from '../../core/topics.ts'
import { isGranted } from '../access.ts'
import { levelOf } from '../connection-errors.ts'
import { type DeviceConnection } from '../inbox/device-connection.ts'
import { isQueueId, queueId } from '../inbox/packets.ts'
import { type QueuedMessage, type RedisSessions } from './sessions-redis.ts'

const WINDOW = 64
const MAX_READ_BYTES = 512 * 1024
/** How often it looks without a hint: one that got lost costs no more time than this. */
export const LOOK_MS = 5_000

export class SessionQueue {
  /** What is stored, filter by filter. */
  readonly filters = new Map<string, number>()
  readonly #sessions: RedisSessions
  readonly #connection: DeviceConnection
  readonly #log: Logger
  readonly #timer: NodeJS.Timeout
  /** Identifier -> n, of what was sent and not yet received by the device. */
  readonly #sent = new Map<number, number>()
  /** Received and not yet released by the device (QoS 2). */
  readonly #released = new Set<number>()
  #after = 0
  #opened = false
  #started = false
  #busy = false
  #again = false
  #full = false

  constructor (sessions: RedisSessions, connection: DeviceConnection, log: Logger) {
    this.#sessions = sessions
    this.#connection = connection
    this.#log = log
    this.#timer = setInterval(() => { this.#check() }, LOOK_MS)
    connection.onClose(() => clearInterval(this.#timer))
  }

  /** Does a message with QoS 1 or 2 on this topic come through the queue? */
  holds (topic: string): boolean {
    for (const [filter, qos] of this.filters) if (qos > 0 && filterMatches(filter, topic)) return true
    return false
  }

  /** The CONNACK is written: messages may be sent. */
  start (): void {
    this.#started = true
    this.look()
  }

  /** There may be something new. */
  look (): void {
    this.#again = true
    if (this.#busy || !this.#started) return
    this.#busy = true
    this.#run()
      // The timer tries again.
      .catch((error: unknown) => this.#log[levelOf(error)](
        { err: error, user_id: this.#connection.userId }, 'a queue of acl topics could not be read'
      ))
      .finally(() => { this.#busy = false })
  }

  async #run (): Promise<void> {
    if (!this.#opened) await this.#open()
    while (this.#again && !this.#full && !this.#connection.closed) {
      const free = WINDOW - this.#sent.size - this.#released.size
      if (free <= 0) return
      this.#again = false
      const messages = await this.#sessions.read(
        this.#connection.clientId, this.#connection.lease, this.#after, free, MAX_READ_BYTES
      )
      if (messages === undefined) return this.#connection.disconnect('the device connected to another node')
      if (messages.length > 0) this.#again = true
      for (const message of messages) await this.#send(message)
    }
  }

  // First what the device has received already is released, in its order [MQTT-4.4.0-1].
  async #open (): Promise<void> {
    const ids = await this.#sessions.open(this.#connection.clientId, this.#connection.lease)
    if (ids === undefined) return this.#connection.disconnect('the device connected to another node')
    this.#opened = true
    for (const messageId of ids) {
      this.#released.add(messageId)
      this.#write(generate({ cmd: 'pubrel', messageId }))
    }
  }

  async #send ({ n, topic, payload, qos, again }: QueuedMessage): Promise<void> {
    if (this.#connection.closed) return
    this.#after = n
    // The token may have changed since it subscribed.
    if (!isGranted(this.#connection.identity, topic)) {
      return await this.#sessions.acknowledge(this.#connection.clientId, this.#connection.lease, n)
    }
    const messageId = queueId(n)
    this.#sent.set(messageId, n)
    this.#write(generate({ cmd: 'publish', topic, payload, qos, messageId, dup: again, retain: false }))
  }

  #write (packet: Buffer): void {
    if (this.#connection.socket.write(packet) || this.#full) return
    this.#full = true
    const goOn = (): void => {
      this.#full = false
      this.look()
    }
    this.#connection.socket.drained().then(goOn, goOn)
  }

  /** PUBREC: it is not sent again, only released; resolves when that is certain. */
  async received (id: number): Promise<void> {
    const n = this.#sent.get(id)
    if (n === undefined) return
    await this.#sessions.release(this.#connection.clientId, this.#connection.lease, n, id)
    this.#sent.delete(id)
    this.#released.add(id)
  }

  /** PUBACK or PUBCOMP. */
  async acknowledged (id: number): Promise<void> {
    if (!isQueueId(id)) return
    const n = this.#sent.get(id)
    const { clientId, lease } = this.#connection
    if (n !== undefined) await this.#sessions.acknowledge(clientId, lease, n)
    else if (this.#released.has(id)) await this.#sessions.complete(clientId, lease, id)
    this.#sent.delete(id)
    this.#released.delete(id)
    this.look()
  }

  #check (): void {
    this.#renew().catch((error: unknown) => this.#log[levelOf(error)](
      { err: error, user_id: this.#connection.userId }, 'a session of acl topics could not be renewed'
    ))
  }

  // A Redis that has forgotten is told again.
  async #renew (): Promise<void> {
    if (this.filters.size === 0) return
    const after = this.#after
    const { stored, last } = await this.#sessions.renew(this.#connection.clientId)
    if (this.#connection.closed) return
    if (!stored) {
      await this.#sessions.subscribe(this.#connection.clientId, this.filters)
      this.#opened = false
    }
    if (last < after) {
      this.#after = 0
      this.#sent.clear()
      this.#released.clear()
    }
    this.look()
  }
}
