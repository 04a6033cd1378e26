/**
 * One JSON WebSocket of one device: events go out as frames, frames come in as commands.
 *
 *   delivery    the inbox through a pump; `message_sent` is not sent here and counts as acknowledged
 *   heartbeat   pings, and what their pongs acknowledge
 *   commands    decided in order; what waits is bounded, and beyond it the socket is not read
 */
import { type Duplex } from 'node:stream'
import { type Logger } from 'pino'
import { type WebSocket } from 'ws'
import { type Identity } from '../../core/identity.ts'
import { type ConnectionState, type EndCause } from '../../messaging/deliver/connections.ts'
import { type EarlyListener } from '../../messaging/deliver/early-listener.ts'
import {
  InboxDelivery, type DeliveryTarget, type EventWriter
} from '../../messaging/deliver/inbox-delivery.ts'
import { type Pump, type PumpEvent } from '../../messaging/deliver/pump.ts'
import { type WakeEvent, type WakeListener } from '../../messaging/deliver/wakes.ts'
import { type Messaging } from '../../messaging/start.ts'
import { type OpenedDevice, type StartingPoint } from '../../store/people/device-sessions.ts'
import { type CommandLine } from '../inbox/commands-in-order.ts'
import { type RegisteredConnection } from '../inbox/registry.ts'
import { wsEndsTotal } from '../metrics.ts'
import { CLOSE, CODE_OF_CAUSE } from './close-codes.ts'
import { encodeEvents, encodeFrame } from './frames.ts'
import { Heartbeat, type HeartbeatTimes } from './heartbeat.ts'

/** The peer has so long to answer a close frame. */
const CLOSE_GRACE_MS = 2_000

export interface ConnectionTimes extends HeartbeatTimes {
  /** A peer that sends nothing for so long is dead. */
  silenceMs: number
  /** A connection ends when its socket takes nothing of what waits for it for so long. */
  drainTimeoutMs: number
}

export interface JsonConnectionOptions {
  ws: WebSocket
  /** What `ws` writes to. */
  socket: Duplex
  address: string | undefined
  identity: Identity
  deviceId: string
  /** The device has no id, and so no cursor. */
  clean: boolean
  opened: OpenedDevice
  early: EarlyListener
  times: ConnectionTimes
  messaging: Messaging
  log: Logger
}

export class JsonConnection
implements RegisteredConnection, DeliveryTarget, EventWriter, WakeListener, CommandLine {
  identity: Identity
  readonly userId: string
  readonly deviceId: string
  readonly clean: boolean
  readonly lease: number
  readonly mqttSession = undefined
  readonly heartbeat: Heartbeat
  activeAt: number
  replaced = false
  decided: Promise<unknown> = Promise.resolve()
  undecided = false
  readonly #options: JsonConnectionOptions
  readonly #delivery: InboxDelivery
  readonly #connectedAt: number
  readonly #stopListening: () => void
  readonly #onClose: Array<() => void> = []
  readonly #onDrain: Array<() => void> = []
  #drainTimer: NodeJS.Timeout | undefined
  #heardAt = performance.now()
  #reasonsToPause = 0
  #closed = false

  constructor (options: JsonConnectionOptions) {
    const { ws, socket, identity, deviceId, clean, opened, early, times, messaging, log } = options
    this.#options = options
    this.identity = identity
    this.userId = identity.userId
    this.deviceId = deviceId
    this.clean = clean
    this.lease = opened.lease
    this.activeAt = this.#connectedAt = messaging.now()
    this.#delivery = new InboxDelivery({ target: this, tracked: true, writer: this, messaging, log })
    this.heartbeat = new Heartbeat(ws, this.pump, times)
    this.#stopListening = messaging.wakes.listen(this.userId, this)
    socket.on('data', () => this.#touch())
    this.#delivery.begin(opened.start, early.heardSeq)
  }

  get clientId (): string { return `${this.userId}/${this.deviceId}` }
  get closed (): boolean { return this.#closed }
  get pump (): Pump { return this.#delivery.pump }
  get full (): boolean { return this.#options.socket.writableNeedDrain }

  #touch (): void {
    this.#heardAt = performance.now()
    this.activeAt = this.#options.messaging.now()
  }

  renew (identity: Identity): void {
    this.identity = identity
  }

  /** A device that comes for the first time gets its cursor here, and comes back to it. */
  located ({ acked_seq, cursor }: StartingPoint): void {
    const { userId, deviceId, clean, lease } = this
    if (clean || cursor !== null) return
    this.#options.messaging.acknowledgements.add({ userId, deviceId, seq: acked_seq, deliveries: [], lease })
  }

  write (events: PumpEvent[]): boolean {
    this.#delivery.trace?.written(events, this.pump.ackedSeq)
    const sent = events.filter(({ body }) => body.type === 'message_sent')
    const shown = sent.length === 0 ? events : events.filter(({ body }) => body.type !== 'message_sent')
    // When the pump has noted what it hands over here.
    queueMicrotask(() => {
      for (const { seq } of sent) this.pump.acknowledge(seq)
      this.heartbeat.follow()
    })
    if (shown.length === 0) return !this.full
    const free = this.#send(encodeEvents(shown))
    if (!free) this.#onDrain.push(() => this.pump.drained())
    return free
  }

  #send (frame: Buffer): boolean {
    const { socket, ws } = this.#options
    if (this.#closed || ws.readyState !== ws.OPEN) return true
    const free = socket.write(frame)
    if (!free) this.#watchDrain()
    return free
  }

  #watchDrain (): void {
    if (this.#drainTimer !== undefined) return
    const { socket, times } = this.#options
    this.#drainTimer = setTimeout(
      () => this.disconnect('its socket takes nothing', 'slow'), times.drainTimeoutMs
    ).unref()
    socket.once('drain', () => {
      clearTimeout(this.#drainTimer)
      this.#drainTimer = undefined
      for (const listener of this.#onDrain.splice(0)) listener()
    })
  }

  wake (events: WakeEvent[]): void {
    this.pump.wake(events)
  }

  /** Dropped when the socket is full. */
  live (payload: Buffer): void {
    if (!this.full) this.#send(encodeFrame(payload))
  }

  reply (payload: Buffer): void {
    this.#send(encodeFrame(payload))
  }

  async drained (): Promise<void> {
    if (!this.full || this.#closed) return
    await new Promise<void>(resolve => {
      this.#onDrain.push(resolve)
      this.#watchDrain()
    })
  }

  /** The device has everything up to `seq`. */
  acknowledge (seq: number): void {
    this.#delivery.trace?.acknowledged(seq)
    this.pump.skipTo(seq)
  }

  pong (payload: Buffer): void {
    if (!this.full && !this.#closed) this.#options.ws.pong(payload)
  }

  /** The socket is not read until the function that is returned is called. */
  pause (): () => void {
    if (this.#reasonsToPause++ === 0) this.#options.ws.pause()
    return () => {
      if (--this.#reasonsToPause > 0 || this.#closed) return
      this.#touch() // it was not silent: it was not read
      this.#options.ws.resume()
    }
  }

  /** Called about once a second. */
  beat (now: number): void {
    if (this.#reasonsToPause === 0 && now - this.#heardAt >= this.#options.times.silenceMs) {
      this.disconnect('it is silent', 'slow')
    } else {
      this.heartbeat.beat(now)
    }
  }

  disconnect (reason: string, cause?: EndCause): void {
    this.end(cause === undefined ? CLOSE.policy : CODE_OF_CAUSE[cause], reason)
  }

  end (code: number, reason: string): void {
    if (this.#closed) return
    const { ws, log } = this.#options
    log.info({ user_id: this.userId, device_id: this.deviceId, code, reason }, 'a device is disconnected')
    wsEndsTotal.inc({ code })
    this.close()
    endSocket(ws, code, reason)
  }

  close (): void {
    if (this.#closed) return
    this.#closed = true
    this.#delivery.close()
    this.heartbeat.close()
    this.#stopListening()
    clearTimeout(this.#drainTimer)
    for (const listener of [...this.#onDrain.splice(0), ...this.#onClose]) listener()
  }

  onClose (listener: () => void): void {
    if (this.#closed) listener()
    else this.#onClose.push(listener)
  }

  state (): ConnectionState {
    return {
      door: 'websocket',
      device_id: this.deviceId,
      delivery: 'tracked',
      clean_session: this.clean,
      address: this.#options.address ?? null,
      connected_at: this.#connectedAt,
      last_active_at: this.activeAt,
      unacknowledged: this.pump.inFlight,
      lag: this.pump.knownSeq - this.pump.ackedSeq,
      token_expires_at: this.identity.expiresAt * 1000
    }
  }
}

/** Sends a close frame and does not wait for long for its answer. */
export function endSocket (ws: WebSocket, code: number, reason: string): void {
  ws.resume() // or the answer is never read
  ws.close(code, reason)
  const timer = setTimeout(() => ws.terminate(), CLOSE_GRACE_MS)
  ws.once('close', () => clearTimeout(timer))
}
