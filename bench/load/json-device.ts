/**
 * A phone without MQTT: one JSON WebSocket that receives its user's inbox and acknowledges. As lean as the
 * phone with MQTT: frames are read where they lie; what one read brought is acknowledged with one frame.
 */
import { connect, type Socket } from 'node:net'
import { seqOf } from './seq.ts'

const HANDSHAKE_END = '\r\n\r\n'
const [TEXT, CLOSE, PING] = [0x81, 0x88, 0x89] as const
const [PONG, ANSWER] = [0x8A, 0x81] as const
/** With the mask 0, which leaves a payload as it is [RFC 6455, 5.3]. */
const MASKED = 0x80

export interface JsonDeviceOptions {
  host: string
  port: number
  token: string
  deviceId: string
  onEvent: (payload: string) => void
}

export class JsonDevice {
  readonly #options: JsonDeviceOptions
  readonly #socket: Socket
  #held: Buffer = Buffer.alloc(0)
  #opened: ((error?: Error) => void) | undefined
  #newest = 0
  #acknowledged = 0

  private constructor (options: JsonDeviceOptions, opened: (error?: Error) => void) {
    this.#options = options
    this.#opened = opened
    const { host, port, token, deviceId } = options
    this.#socket = connect({ host, port, noDelay: true })
    this.#socket.on('data', chunk => this.#read(chunk))
    this.#socket.on('error', opened)
    this.#socket.on('close', () => opened(new Error('the server closed the connection')))
    this.#socket.write([
      'GET /ws HTTP/1.1', `host: ${host}`, 'upgrade: websocket', 'connection: upgrade',
      'sec-websocket-version: 13', 'sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==',
      `authorization: Bearer ${token}`, `x-device-id: ${deviceId}`, '', ''
    ].join('\r\n'))
  }

  static async connect (options: JsonDeviceOptions): Promise<JsonDevice> {
    return await new Promise((resolve, reject) => {
      const device: JsonDevice =
        new JsonDevice(options, error => error === undefined ? resolve(device) : reject(error))
    })
  }

  close (): void {
    this.#socket.destroy()
  }

  #read (chunk: Buffer): void {
    let rest = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk])
    if (this.#opened !== undefined) {
      const end = rest.indexOf(HANDSHAKE_END)
      this.#held = rest
      if (end < 0) return
      const head = rest.toString('latin1', 0, end)
      this.#opened(head.startsWith('HTTP/1.1 101 ') ? undefined : new Error(head.split('\r\n')[0]))
      this.#opened = undefined
      rest = rest.subarray(end + HANDSHAKE_END.length)
    }
    let at = 0
    while (rest.length - at >= 2) {
      const [payload, size] = extentOf(rest, at)
      if (rest.length < payload + size) break
      this.#frame(rest, rest[at]!, payload, payload + size)
      at = payload + size
    }
    this.#held = rest.subarray(at)
    this.#acknowledge()
  }

  #frame (chunk: Buffer, kind: number, from: number, to: number): void {
    if (kind === TEXT) {
      const payload = chunk.toString('latin1', from, to)
      if (!payload.startsWith('{"seq":')) return
      this.#newest = seqOf(payload)
      this.#options.onEvent(payload)
    } else if (kind === PING) {
      this.#send(PONG, chunk.toString('latin1', from, to))
    } else if (kind === CLOSE) {
      this.#socket.end()
    }
  }

  #acknowledge (): void {
    if (this.#newest === this.#acknowledged) return
    this.#acknowledged = this.#newest
    this.#send(ANSWER, `{"type":"ack","seq":${this.#newest}}`)
  }

  /** Short ones only. */
  #send (kind: number, payload: string): void {
    const frame = Buffer.alloc(6 + payload.length)
    frame[0] = kind
    frame[1] = MASKED | payload.length
    frame.write(payload, 6, 'latin1')
    if (this.#socket.writable) this.#socket.write(frame)
  }
}

/** Where the payload of the frame begins, and its length; endless when the head is cut off. */
function extentOf (chunk: Buffer, at: number): [from: number, size: number] {
  const short = chunk[at + 1]! & 0x7F
  if (short < 126) return [at + 2, short]
  if (short === 126) return [at + 4, chunk.length < at + 4 ? Infinity : chunk.readUInt16BE(at + 2)]
  return [at + 10, chunk.length < at + 10 ? Infinity : Number(chunk.readBigUInt64BE(at + 2))]
}
