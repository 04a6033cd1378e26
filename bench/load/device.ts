/**
 * A phone: one MQTT 3.1.1 connection that receives its user's inbox and
 * acknowledges. Packets are read where they lie, because the load generator
 * shares the cores with what it measures; all that one read brought is
 * acknowledged with one write.
 */
import { connect, type Socket } from 'node:net'
import { generate } from 'mqtt-packet'

const [CONNACK, PUBLISH, PUBACK, SUBACK] = [2, 3, 4, 9] as const
const KEEPALIVE_S = 1_800

export interface DeviceOptions {
  host: string
  port: number
  userId: string
  token: string
  deviceId: string
  /** The payload of an event, a byte a character. */
  onEvent?: (payload: string) => void
  onClose?: () => void
  /** Of several loopback addresses each has ephemeral ports of its own. */
  localAddress?: string
}

export class ConnectionRefused extends Error {
  readonly returnCode: number
  constructor (returnCode: number) {
    super(`CONNACK ${returnCode}`)
    this.returnCode = returnCode
  }
}

interface Waiting { resolve: (value: number) => void, reject: (error: Error) => void }

export class Device {
  readonly options: DeviceOptions
  readonly #socket: Socket
  readonly #waiting = new Map<number, Waiting>()
  #held: Buffer[] = []
  #heldBytes = 0
  #needed = 0
  #acks: number[] = []
  #nextId = 0
  sessionPresent = false
  /** Events so far. */
  received = 0

  private constructor (options: DeviceOptions) {
    this.options = options
    const { host, port, localAddress } = options
    this.#socket = connect({ host, port, localAddress, noDelay: true })
    this.#socket.on('data', chunk => this.#read(chunk))
    this.#socket.on('error', error => this.#fail(error))
    this.#socket.on('close', () => {
      this.#fail(new Error('the server closed the connection'))
      options.onClose?.()
    })
  }

  /** Has a stored session (clean=false), and the inbox subscribed to unless the session had it. */
  static async connect (options: DeviceOptions): Promise<Device> {
    const device = new Device(options)
    const connack = device.#answer(CONNACK)
    device.#socket.write(generate({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clean: false,
      clientId: options.deviceId,
      keepalive: KEEPALIVE_S,
      username: options.userId,
      password: Buffer.from(options.token)
    }))
    try {
      const answer = await connack
      device.sessionPresent = answer >= 256
      if (answer % 256 !== 0) throw new ConnectionRefused(answer % 256)
      if (!device.sessionPresent) await device.#subscribe(`user/${options.userId}/inbox`)
    } catch (error) {
      device.close()
      throw error
    }
    return device
  }

  /** Resolves with the PUBACK of a QoS 1 publish. */
  async publish (topic: string, payload: string): Promise<void> {
    this.#nextId = this.#nextId % 65_535 + 1
    const answer = this.#answer((PUBACK << 16) | this.#nextId)
    this.#socket.write(generate({
      cmd: 'publish', topic, payload, qos: 1, messageId: this.#nextId, dup: false, retain: false
    }))
    await answer
  }

  close (): void {
    this.#socket.destroy()
  }

  async #subscribe (topic: string): Promise<void> {
    const answer = this.#answer(SUBACK)
    this.#socket.write(generate({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos: 1 }] }))
    const granted = await answer
    if (granted > 2) throw new Error(`the subscription to ${topic} was refused`)
  }

  #answer (key: number): Promise<number> {
    return new Promise((resolve, reject) => { this.#waiting.set(key, { resolve, reject }) })
  }

  #fail (error: Error): void {
    for (const waiting of this.#waiting.values()) waiting.reject(error)
    this.#waiting.clear()
  }

  #settle (key: number, value: number): void {
    this.#waiting.get(key)?.resolve(value)
    this.#waiting.delete(key)
  }

  #read (chunk: Buffer): void {
    if (this.#held.length > 0) {
      this.#held.push(chunk)
      this.#heldBytes += chunk.length
      if (this.#heldBytes < this.#needed) return
      chunk = Buffer.concat(this.#held)
      this.#held = []
    }
    let at = 0
    while (at < chunk.length) {
      const end = packetEnd(chunk, at)
      if (end > chunk.length) {
        this.#held = [at === 0 ? chunk : chunk.subarray(at)]
        this.#heldBytes = chunk.length - at
        this.#needed = end - at
        break
      }
      this.#packet(chunk, at, end)
      at = end
    }
    this.#acknowledge()
  }

  #packet (chunk: Buffer, at: number, end: number): void {
    const first = chunk[at]!
    let body = at + 1
    while (chunk[body++]! > 127);
    switch (first >> 4) {
      case PUBLISH: {
        let payload = body + 2 + chunk.readUInt16BE(body)
        if ((first & 6) !== 0) {
          this.#acks.push(chunk.readUInt16BE(payload))
          payload += 2
        }
        this.received++
        this.options.onEvent?.(chunk.toString('latin1', payload, end))
        break
      }
      case PUBACK: this.#settle((PUBACK << 16) | chunk.readUInt16BE(body), 0); break
      case CONNACK: this.#settle(CONNACK, chunk[body]! * 256 + chunk[body + 1]!); break
      case SUBACK: this.#settle(SUBACK, chunk[body + 2]!); break
    }
  }

  #acknowledge (): void {
    if (this.#acks.length === 0) return
    const packets = Buffer.allocUnsafe(this.#acks.length * 4)
    let at = 0
    for (const id of this.#acks) at = packets.writeUInt32BE(0x40020000 | id, at)
    this.#acks = []
    if (this.#socket.writable) this.#socket.write(packets)
  }
}

/** Where the packet that begins at `at` ends; beyond the chunk when it is not all there. */
function packetEnd (chunk: Buffer, at: number): number {
  let [length, shift, position] = [0, 0, at + 1]
  for (;;) {
    if (position >= chunk.length) return chunk.length + 1
    const byte = chunk[position++]!
    length |= (byte & 127) << shift
    if (byte < 128) return position + length
    shift += 7
  }
}
