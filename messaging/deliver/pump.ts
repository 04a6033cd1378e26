/**
 * A pump moves one device from its cursor to the end of its user's inbox log.
 *
 * sentSeq   last event handed to the connection
 * ackedSeq  last event of the unbroken run the device has acknowledged
 * knownSeq  end of the log as far as wakes and the sweep have told
 *
 * Never more than WINDOW events lie between the first two, and one page of as
 * many is read ahead, so a device that stops reading costs that much memory and
 * nothing else. A woken pump at the end of its log sends what the wake carries;
 * otherwise it reads the log after sentSeq. A device that is live and one that
 * was away for a week differ only in how far sentSeq is behind knownSeq.
 *
 * It lives in one epoch: its numbers mean nothing in another. What a wake carries from another one, because
 * two processes learn of it one after the other, is read from the log instead.
 */
import { type Delivery, type EventBody } from '../../core/events.ts'
import { type WakeListener, type WakeEvent } from './wakes.ts'

export const WINDOW = 64
/** Waiting for half the window to be free keeps writes to sets worth a system call. */
const REFILL_BELOW = WINDOW / 2
/** What was read ahead longer ago is read again: an edit or an erasure since then holds. */
const AHEAD_KEPT_MS = 1_000
const RETRY_READ_MS = 1_000

export interface PumpEvent { seq: number, body: EventBody }

/** What a pump drives. */
export interface PumpConnection {
  /** Writes events in order; false asks to wait for `drained`. */
  write (events: PumpEvent[]): boolean
}

export interface PumpOptions {
  /** In which its place in the log was read. */
  epoch: string
  userId: string
  deviceId: string
  connection: PumpConnection
  /** Up to `limit` events after `seq`, rendered. */
  readLog: (userId: string, seq: number, limit: number) => Promise<PumpEvent[]>
  /**
   * The unbroken run of acknowledged events has grown to `seq`, and with it these messages were delivered.
   */
  onAcknowledged: (seq: number, deliveries: Delivery[]) => void
  /** Something is in flight, and nothing was: `isWaiting` says from now on until when. */
  onWaiting?: () => void
  /** False: a live copy. What was written counts as acknowledged, and nothing is told of it. */
  tracked: boolean
  /** Of a clock that is never set, in milliseconds. */
  now: () => number
}

interface ReadEvent extends PumpEvent { readAt: number }

/** Events up to `seq` were handed over at `at` (milliseconds). */
interface Handover { seq: number, at: number }

export class Pump implements WakeListener {
  readonly userId: string
  readonly epoch: string
  readonly tracked: boolean
  readonly #options: PumpOptions
  #sentSeq = 0
  #ackedSeq = 0
  #knownSeq = 0
  #reading = false
  /** What follows sentSeq, for when the window is free. */
  #ahead: ReadEvent[] = []
  #started = false
  #blocked = false
  #blockedAt = 0
  #closed = false
  /** Acknowledged ahead of the unbroken run; allocated only when it happens. */
  #early: Set<number> | undefined
  #handovers: Handover[] = []
  /** Of the events in flight those that deliver a message, in order. */
  #deliveries: Array<{ seq: number, delivery: Delivery }> = []
  #movedAt = 0
  #graceReported = 0

  constructor (options: PumpOptions) {
    this.#options = options
    this.userId = options.userId
    this.epoch = options.epoch
    this.tracked = options.tracked
  }

  get sentSeq (): number { return this.#sentSeq }
  get ackedSeq (): number { return this.#ackedSeq }
  get knownSeq (): number { return this.#knownSeq }
  get inFlight (): number { return this.#sentSeq - this.#ackedSeq }
  /** For an acknowledgement, or for the socket. Nothing else can be overdue, or stalled. */
  get isWaiting (): boolean { return this.inFlight > 0 || this.#blocked }

  /** Begins after `cursor`; `end` is where the log ended when the cursor was read. */
  start (cursor: number, end: number): void {
    this.#sentSeq = this.#ackedSeq = cursor
    this.#graceReported = cursor
    this.#started = true
    this.learn(end)
  }

  wake (events: WakeEvent[]): void {
    const fresh: PumpEvent[] = []
    const handOver = (): void => { if (fresh.length > 0) this.#handOver(fresh.splice(0)) }
    for (const { seq, body, knownTo } of events) {
      if (!this.#mayWrite() || this.#reading || this.#ahead.length > 0) break
      const next = this.#sentSeq + fresh.length + 1
      if (seq !== next || body?.epoch !== this.epoch || next > this.#ackedSeq + WINDOW) continue
      if (knownTo === undefined || knownTo !== this.#options.deviceId) {
        fresh.push({ seq, body })
      } else {
        handOver()
        if (this.#mayWrite()) this.#pass(seq)
      }
    }
    handOver()
    this.#knownSeq = Math.max(this.#knownSeq, events.at(-1)!.seq)
    this.#fill()
  }

  /** The log ends at `seq` or later: what a wake would have said, had it arrived. */
  learn (seq: number): void {
    this.#knownSeq = Math.max(this.#knownSeq, seq)
    this.#fill()
  }

  /** The device acknowledged this one event. */
  acknowledge (seq: number): void {
    if (this.#closed || seq <= this.#ackedSeq || seq > this.#sentSeq) return
    if (seq !== this.#ackedSeq + 1) {
      (this.#early ??= new Set()).add(seq)
      return
    }
    this.#moveTo(this.#runFrom(seq))
  }

  /** Where the unbroken run of acknowledged events ends that has got to `seq`. */
  #runFrom (seq: number): number {
    let run = seq
    while (this.#early?.delete(run + 1) === true) run++
    return run
  }

  /** The device has everything up to `seq`, by whatever way it came: nothing of it is sent again. */
  skipTo (seq: number): void {
    if (this.#closed || !this.#started || seq <= this.#ackedSeq) return
    for (const early of this.#early ?? []) if (early <= seq) this.#early!.delete(early)
    this.#sentSeq = Math.max(this.#sentSeq, seq)
    this.#ahead = this.#ahead.filter(event => event.seq > this.#sentSeq)
    this.#moveTo(this.#runFrom(seq))
  }

  drained (): void {
    this.#blocked = false
    this.#fill()
  }

  close (): void {
    this.#closed = true
    this.#ahead = []
  }

  /** When the oldest unacknowledged event was handed over; undefined when nothing is in flight. */
  get oldestInFlightAt (): number | undefined {
    return this.inFlight > 0 ? this.#handovers[0]?.at : undefined
  }

  /**
   * Since when the window has not moved although something is in flight, or the socket takes nothing although
   * nothing is.
   */
  get stalledSince (): number | undefined {
    return this.inFlight > 0 ? this.#movedAt : this.#blockedSince
  }

  // An `ack` command, or acknowledging what was never read, empties the window of a frozen device.
  get #blockedSince (): number | undefined {
    return this.#blocked && this.#knownSeq > this.#sentSeq ? this.#blockedAt : undefined
  }

  /**
   * True once for every new event that is unacknowledged while the oldest one has waited for longer than the
   * grace period.
   */
  takeOverdue (graceMs: number): boolean {
    const oldest = this.oldestInFlightAt ?? this.#blockedSince
    if (oldest === undefined || this.#knownSeq <= this.#graceReported ||
      this.#options.now() - oldest < graceMs) return false
    this.#graceReported = this.#knownSeq
    return true
  }

  #mayWrite (): boolean {
    return this.#started && !this.#closed && !this.#blocked
  }

  #handOver (events: PumpEvent[]): void {
    const now = this.#options.now()
    const waited = this.inFlight > 0
    if (!waited) this.#movedAt = now
    // Behind what is kept: the missing events cannot be acknowledged any more.
    if (events[0]!.seq !== this.#sentSeq + 1) this.#ackedSeq = events[0]!.seq - 1
    this.#sentSeq = events.at(-1)!.seq
    this.#blocked = !this.#options.connection.write(events)
    if (this.#blocked) this.#blockedAt = now
    if (!this.tracked) {
      this.#ackedSeq = this.#sentSeq
      return
    }
    this.#handovers.push({ seq: this.#sentSeq, at: now })
    for (const { seq, body: { delivers } } of events) {
      if (delivers !== undefined) this.#deliveries.push({ seq, delivery: delivers })
    }
    if (!waited) this.#options.onWaiting?.()
  }

  /** The device has this one, the next, by another way. */
  #pass (seq: number): void {
    this.#sentSeq = seq
    if (this.tracked) this.acknowledge(seq)
    else this.#ackedSeq = seq
  }

  #moveTo (seq: number): void {
    this.#ackedSeq = seq
    this.#movedAt = this.#options.now()
    while (this.#handovers.length > 0 && this.#handovers[0]!.seq <= seq) this.#handovers.shift()
    let delivered = 0
    while (delivered < this.#deliveries.length && this.#deliveries[delivered]!.seq <= seq) delivered++
    this.#options.onAcknowledged(seq, this.#deliveries.splice(0, delivered).map(({ delivery }) => delivery))
    this.#fill()
  }

  #fill (): void {
    if (!this.#mayWrite()) return
    if (this.inFlight <= REFILL_BELOW) {
      const page = this.#takeAhead(WINDOW - this.inFlight)
      if (page.length > 0) this.#handOver(page)
    }
    if (this.#reading || this.#ahead.length > REFILL_BELOW || this.#readSeq >= this.#knownSeq ||
      !this.#mayWrite()) return
    this.#reading = true
    this.#readOn().catch(() => {
      // The database is away. Waits, then looks again; the sweep would too.
      setTimeout(() => { this.#reading = false; this.#fill() }, RETRY_READ_MS).unref()
    })
  }

  #takeAhead (limit: number): PumpEvent[] {
    const oldest = this.#ahead[0]
    if (oldest !== undefined && this.#options.now() - oldest.readAt > AHEAD_KEPT_MS) this.#ahead = []
    return this.#ahead.splice(0, limit)
  }

  get #readSeq (): number { return this.#ahead.at(-1)?.seq ?? this.#sentSeq }

  async #readOn (): Promise<void> {
    const from = this.#readSeq
    const known = this.#knownSeq
    const readAt = this.#options.now()
    const events = await this.#options.readLog(this.userId, from, WINDOW - this.#ahead.length)
    this.#reading = false
    if (this.#closed) return
    // Nothing there although something was announced: believe the log, unless a wake came meanwhile.
    if (events.length === 0 && this.#knownSeq === known) this.#knownSeq = from
    const readTo = this.#readSeq // lower than `from` when what was read ahead got too old meanwhile
    const fresh = from > readTo ? [] : events.filter(event => event.seq > readTo)
    // The log was cut off behind what was read ahead: this is read again when that has been sent.
    const follows = fresh.length === 0 || this.#ahead.length === 0 || fresh[0]!.seq === readTo + 1
    if (!follows) return
    for (const event of fresh) this.#ahead.push({ readAt, ...event })
    this.#fill()
  }
}
