/**
 * Pings of one connection, and what a pong acknowledges.
 *
 * Until the client sends its first `ack`, a pong acknowledges all frames that were written
 * before its ping. A ping goes out 1 s after the oldest unacknowledged frame, or at half a
 * window; one is under way at a time. Its payload is the last event written, so a pong that
 * nobody asked for acknowledges nothing. Others go out every 54 s: they find dead peers.
 */
import { type WebSocket } from 'ws'
import { WINDOW, type Pump } from '../../messaging/deliver/pump.ts'

export interface HeartbeatTimes {
  /** After the oldest unacknowledged frame. */
  pingAfterMs: number
  pingEveryMs: number
}

export class Heartbeat {
  readonly #ws: Pick<WebSocket, 'ping'>
  readonly #pump: Pump
  readonly #times: HeartbeatTimes
  /** The client sends `ack`: pongs acknowledge nothing any more. */
  #acknowledges = false
  #asked: number | undefined
  #timer: NodeJS.Timeout | undefined
  #pingedAt = performance.now()
  #closed = false

  constructor (ws: Pick<WebSocket, 'ping'>, pump: Pump, times: HeartbeatTimes) {
    this.#ws = ws
    this.#pump = pump
    this.#times = times
  }

  /** Events are written, or acknowledged: sees to the ping that asks for the rest. */
  follow (): void {
    if (this.#closed || this.#acknowledges || this.#asked !== undefined) return
    if (this.#pump.inFlight >= WINDOW / 2) return this.#ping()
    const oldest = this.#pump.oldestInFlightAt
    // What is being written counts from now.
    if (oldest === undefined && this.#pump.inFlight === 0) return
    const waitMs = this.#times.pingAfterMs - (performance.now() - (oldest ?? performance.now()))
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      if (this.#asked === undefined && this.#pump.inFlight > 0) this.#ping()
    }, Math.max(0, waitMs)).unref()
  }

  /** False: nobody asked for this pong. */
  pong (payload: Buffer): boolean {
    if (this.#asked === undefined || payload.toString('latin1') !== String(this.#asked)) return false
    const seq = this.#asked
    this.#asked = undefined
    if (this.#acknowledges) return true
    this.#pump.skipTo(seq)
    this.follow()
    return true
  }

  /** The client has sent an `ack`. */
  acknowledges (): void {
    this.#acknowledges = true
    this.#stopTimer()
  }

  /** Called about once a second. */
  beat (now: number): void {
    if (now - this.#pingedAt >= this.#times.pingEveryMs) this.#ping()
  }

  #ping (): void {
    this.#stopTimer()
    this.#pingedAt = performance.now()
    this.#asked = this.#pump.sentSeq
    this.#ws.ping(String(this.#asked))
  }

  #stopTimer (): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  close (): void {
    this.#closed = true
    this.#stopTimer()
  }
}
