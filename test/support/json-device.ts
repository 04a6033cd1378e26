/** A device on the JSON WebSocket: everything that came, in order, and what it sends. */
import { WebSocket, type ClientOptions } from 'ws'
import { until } from './until.ts'

type Json = any

export interface JsonDevice extends AsyncDisposable {
  ws: WebSocket
  /** Every frame. */
  frames: Json[]
  /** Frames with a `seq`. */
  events: Json[]
  replies: Json[]
  of (type: string): Json[]
  /** Payloads of the pings that came. */
  pings: string[]
  /** Undefined while it is open. */
  closed: { code: number, reason: string } | undefined
  send (frame: object | string | Buffer): void
  ended (): Promise<{ code: number, reason: string }>
}

export interface JsonDeviceOptions {
  token?: string
  deviceId?: string
  /** Behind `/ws`. */
  query?: string
  headers?: Record<string, string>
  options?: ClientOptions
  url?: string
}

/** Resolves when the upgrade is accepted; rejects with the status when it is not. */
export async function connectJson (
  port: number, { token, deviceId, query = '', headers = {}, options, url }: JsonDeviceOptions = {}
): Promise<JsonDevice> {
  const ws = new WebSocket(`${url ?? `ws://127.0.0.1:${port}`}/ws${query}`, {
    ...options,
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(deviceId === undefined ? {} : { 'x-device-id': deviceId }),
      ...headers
    }
  })
  const frames: Json[] = []
  const pings: string[] = []
  const device: JsonDevice = {
    ws,
    frames,
    pings,
    closed: undefined,
    get events () { return frames.filter(frame => frame.seq !== undefined) },
    get replies () { return frames.filter(({ type }) => type === 'accepted' || type === 'rejected') },
    of: type => frames.filter(frame => frame.type === type),
    send: frame =>
      ws.send(typeof frame === 'string' || Buffer.isBuffer(frame) ? frame : JSON.stringify(frame)),
    ended: () => until(() => device.closed, 'the connection has ended'),
    [Symbol.asyncDispose]: async () => { ws.terminate() }
  }
  ws.on('message', data => frames.push(JSON.parse(data.toString())))
  ws.on('ping', data => pings.push(data.toString()))
  ws.on('close', (code, reason) => { device.closed = { code, reason: reason.toString() } })
  await new Promise<void>((resolve, reject) => {
    ws.once('open', resolve)
    ws.once('unexpected-response', (_, { statusCode }) => reject(new Error(`refused with ${statusCode}`)))
    ws.once('error', reject)
  })
  ws.on('error', () => {})
  return device
}
