/**
 * One MQTT 3.1.1 connection, down to the packets: unlike a library's client it
 * can stop reading, and be left open by a device that is long gone.
 */
import { connect, type Socket } from 'node:net'
import { generate, parser, type Packet } from 'mqtt-packet'
import { type DeviceConnection } from './device.ts'

const CONNACK_TIMEOUT_MS = 12_000
const PUBACK_TIMEOUT_MS = 15_000
const KEEPALIVE_S = 30
const PING_EVERY_MS = 12_000
const PINGRESP_WITHIN_MS = 20_000

export interface MqttOptions {
  port: number
  userId: string
  deviceId: string
  token: string
  /** The device has stored it when this returns. */
  onMessage: (topic: string, payload: Buffer) => void
  /** Before a PUBACK is sent. */
  ackDelayMs: number
}

export class MqttConnection implements DeviceConnection {
  sessionPresent = false
  closed = false
  readonly ended: Promise<void>
  readonly #options: MqttOptions
  readonly #socket: Socket
  readonly #waiting = new Map<string, { resolve: (packet: Packet) => void, reject: (error: Error) => void }>()
  /** Acknowledgements that came due while it was frozen. */
  readonly #late: number[] = []
  #frozen = false
  #lastHeard = performance.now()
  #nextId = 1
  #ping: NodeJS.Timeout | undefined

  /** Resolves with the CONNACK; throws when it refuses or does not come. */
  static async open (options: MqttOptions): Promise<MqttConnection> {
    const connection = new MqttConnection(options)
    try {
      await connection.#begin()
      return connection
    } catch (error) {
      connection.vanish()
      throw error
    }
  }

  private constructor (options: MqttOptions) {
    this.#options = options
    const socket = connect({ host: '127.0.0.1', port: options.port, noDelay: true })
    this.#socket = socket
    const reader = parser({ protocolVersion: 4 })
    reader.on('packet', (packet: Packet) => this.#read(packet))
    reader.on('error', () => socket.destroy())
    socket.on('data', data => {
      this.#lastHeard = performance.now()
      reader.parse(data)
    })
    socket.on('error', () => {})
    this.ended = new Promise(resolve => socket.once('close', () => {
      this.#end()
      resolve()
    }))
  }

  async #begin (): Promise<void> {
    const { userId, deviceId, token } = this.#options
    const connack = this.#answer('connack', CONNACK_TIMEOUT_MS)
    this.#send({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clean: false,
      clientId: deviceId,
      username: userId,
      password: Buffer.from(token),
      keepalive: KEEPALIVE_S
    })
    const packet = await connack
    if (packet.cmd !== 'connack' || packet.returnCode !== 0) {
      throw new Error(`refused with ${(packet as { returnCode?: number }).returnCode}`)
    }
    this.sessionPresent = packet.sessionPresent
    this.#ping = setInterval(() => this.#keepAlive(), PING_EVERY_MS)
  }

  /** QoS 1. */
  async subscribe (topic: string): Promise<void> {
    const messageId = this.#takeId()
    const suback = this.#answer(`suback ${messageId}`, PUBACK_TIMEOUT_MS)
    this.#send({ cmd: 'subscribe', messageId, subscriptions: [{ topic, qos: 1 }] } as Packet)
    const packet = await suback
    if (packet.cmd === 'suback' && packet.granted.some(code => code === 128)) {
      throw new Error(`${topic} was not granted`)
    }
  }

  /** To the outbox; resolves with the PUBACK, rejects when the connection ends, or is given up, before it. */
  async command (command: object): Promise<void> {
    const topic = `user/${this.#options.userId}/outbox`
    const payload = JSON.stringify(command)
    const messageId = this.#takeId()
    const puback = this.#answer(`puback ${messageId}`, PUBACK_TIMEOUT_MS)
    this.#send({ cmd: 'publish', topic, payload, qos: 1, dup: false, retain: false, messageId })
    await puback
  }

  /** DISCONNECT. */
  leave (): void {
    if (this.closed) return
    this.#socket.end(generate({ cmd: 'disconnect' }))
    this.#end()
  }

  vanish (): void {
    this.#end()
    this.#socket.destroy()
  }

  freeze (): void {
    this.#frozen = true
    this.#socket.pause()
  }

  thaw (): void {
    this.#frozen = false
    this.#lastHeard = performance.now()
    for (const messageId of this.#late.splice(0)) this.#send({ cmd: 'puback', messageId } as Packet)
    this.#socket.resume()
  }

  abandon (): void {
    this.freeze()
    this.#end()
  }

  #read (packet: Packet): void {
    if (this.closed) return
    if (packet.cmd === 'publish') {
      this.#options.onMessage(packet.topic, packet.payload as Buffer)
      if (packet.qos === 1) this.#acknowledge(packet.messageId!)
    } else if (packet.cmd === 'connack') {
      this.#settle('connack', packet)
    } else if (packet.cmd === 'suback' || packet.cmd === 'puback') {
      this.#settle(`${packet.cmd} ${packet.messageId}`, packet)
    }
  }

  #acknowledge (messageId: number): void {
    const send = (): void => {
      if (this.#frozen) this.#late.push(messageId)
      else this.#send({ cmd: 'puback', messageId } as Packet)
    }
    if (this.#options.ackDelayMs === 0) send()
    else setTimeout(send, this.#options.ackDelayMs)
  }

  #keepAlive (): void {
    if (this.#frozen) return
    if (performance.now() - this.#lastHeard > PING_EVERY_MS + PINGRESP_WITHIN_MS) this.vanish()
    else this.#send({ cmd: 'pingreq' })
  }

  #send (packet: Packet): void {
    if (this.closed || this.#frozen || this.#socket.destroyed) return
    this.#socket.write(generate(packet))
  }

  #takeId (): number {
    const id = this.#nextId
    this.#nextId = id % 65_535 + 1
    return id
  }

  async #answer (key: string, timeoutMs: number): Promise<Packet> {
    if (this.closed) throw new Error('the connection has ended')
    return await new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => this.#waiting.get(key)?.reject(new Error(`no ${key} within ${timeoutMs} ms`)), timeoutMs
      )
      const settle = <T>(how: (value: T) => void) => (value: T) => {
        clearTimeout(timer)
        this.#waiting.delete(key)
        how(value)
      }
      this.#waiting.set(key, { resolve: settle(resolve), reject: settle(reject) })
    })
  }

  #settle (key: string, packet: Packet): void {
    this.#waiting.get(key)?.resolve(packet)
  }

  #end (): void {
    this.closed = true
    clearInterval(this.#ping)
    for (const { reject } of [...this.#waiting.values()]) reject(new Error('the connection has ended'))
  }
}
