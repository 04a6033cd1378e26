/** One JSON WebSocket: it can stop reading, and be left open by a device that is long gone. */
import { WebSocket } from 'ws'
import { type DeviceConnection } from './device.ts'

const OPEN_TIMEOUT_MS = 12_000
const ANSWER_TIMEOUT_MS = 15_000
const PING_EVERY_MS = 12_000
const PONG_WITHIN_MS = 20_000

export interface JsonOptions {
  port: number
  deviceId: string
  token: string
  /** The device has stored it when this returns; resolves to the seq that is acknowledged by an `ack`. */
  onFrame: (frame: any) => number | undefined
  /** Before an `ack` is sent. */
  ackDelayMs: number
  /** The server ended it. */
  onEnd: (code: number, reason: string) => void
}

export class JsonConnection implements DeviceConnection {
  closed = false
  readonly ended: Promise<void>
  readonly #options: JsonOptions
  readonly #ws: WebSocket
  readonly #waiting = new Map<string, { resolve: () => void, reject: (error: Error) => void }>()
  #unacknowledged: number | undefined
  #frozen = false
  #lastHeard = performance.now()
  #nextId = 1
  #ping: NodeJS.Timeout | undefined

  /** Resolves when the upgrade is accepted; rejects with its status when it is not. */
  static async open (options: JsonOptions): Promise<JsonConnection> {
    const connection = new JsonConnection(options)
    await connection.#opened()
    return connection
  }

  private constructor (options: JsonOptions) {
    this.#options = options
    const { port, token, deviceId } = options
    this.#ws = new WebSocket(`ws://127.0.0.1:${port}/ws`, {
      headers: { authorization: `Bearer ${token}`, 'x-device-id': deviceId },
      handshakeTimeout: OPEN_TIMEOUT_MS
    })
    const heard = (): void => { this.#lastHeard = performance.now() }
    this.#ws.on('error', () => {}).on('ping', heard).on('pong', heard)
    this.#ws.on('message', data => {
      heard()
      this.#read(JSON.parse(data.toString()))
    })
    this.ended = new Promise(resolve => this.#ws.once('close', (code, reason) => {
      if (!this.closed) options.onEnd(code, reason.toString())
      this.#end()
      resolve()
    }))
  }

  async #opened (): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#ws.once('open', resolve).once('error', reject)
      this.#ws.once('unexpected-response', (_, { statusCode }) => {
        reject(new Error(`refused with ${statusCode}`))
        this.vanish()
      })
    })
    this.#ping = setInterval(() => this.#keepAlive(), PING_EVERY_MS)
  }

  /** Resolves with `accepted`. */
  async command (command: object): Promise<void> {
    if (this.closed) throw new Error('the connection has ended')
    const id = String(this.#nextId++)
    await new Promise<void>((resolve, reject) => {
      const timer =
        setTimeout(() => this.#waiting.get(id)?.reject(new Error('no answer')), ANSWER_TIMEOUT_MS)
      const settle = <T>(how: (value: T) => void) => (value: T) => {
        clearTimeout(timer)
        this.#waiting.delete(id)
        how(value)
      }
      this.#waiting.set(id, { resolve: settle<void>(resolve), reject: settle(reject) })
      this.#send({ ...command, request_id: id })
    })
  }

  leave (): void {
    if (this.closed) return
    this.#end()
    this.#ws.close(1000)
  }

  vanish (): void {
    this.#end()
    this.#ws.terminate()
  }

  freeze (): void {
    this.#frozen = true
    this.#ws.pause()
  }

  thaw (): void {
    this.#frozen = false
    this.#lastHeard = performance.now()
    this.#acknowledge()
    this.#ws.resume()
  }

  abandon (): void {
    this.freeze()
    this.#end()
  }

  #read (frame: any): void {
    if (this.closed) return
    const seq = this.#options.onFrame(frame)
    if (frame.type === 'accepted') this.#waiting.get(frame.request_id)?.resolve()
    if (frame.type === 'rejected') this.#waiting.get(frame.request_id)?.reject(new Error('rejected'))
    if (seq === undefined) return
    const { ackDelayMs } = this.#options
    const isFirst = this.#unacknowledged === undefined
    this.#unacknowledged = seq
    if (ackDelayMs === 0) this.#acknowledge()
    else if (isFirst) setTimeout(() => this.#acknowledge(), ackDelayMs)
  }

  /** All that has come. */
  #acknowledge (): void {
    if (this.#unacknowledged === undefined || this.#frozen) return
    this.#send({ type: 'ack', seq: this.#unacknowledged })
    this.#unacknowledged = undefined
  }

  #keepAlive (): void {
    if (this.#frozen || this.#ws.readyState !== WebSocket.OPEN) return
    if (performance.now() - this.#lastHeard > PING_EVERY_MS + PONG_WITHIN_MS) this.#ws.terminate()
    else this.#ws.ping()
  }

  #send (frame: object): void {
    if (this.closed || this.#frozen || this.#ws.readyState !== WebSocket.OPEN) return
    this.#ws.send(JSON.stringify(frame))
  }

  #end (): void {
    this.closed = true
    clearInterval(this.#ping)
    for (const { reject } of [...this.#waiting.values()]) reject(new Error('the connection has ended'))
  }
}
