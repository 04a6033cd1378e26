/**
 * One feed: a pump that is not tracked, the connection that others see, and the reader it writes to.
 *
 * A reader that is full gets nothing more until it says that it takes more. What it costs by then is what
 * was written so far, a page at most.
 */
import { type Identity } from '../../core/identity.ts'
import { type Connection, type ConnectionState } from './connections.ts'
import { Pump, type PumpConnection, type PumpEvent, type PumpOptions } from './pump.ts'
import { type WakeEvent, type WakeListener } from './wakes.ts'

/** Where the events go. */
export interface FeedReader extends PumpConnection {
  /** Something for the moment (typing, presence, drafts). */
  live? (payload: Buffer): void
  /** Nothing more comes; called once, unless the door closes the feed itself. */
  end (reason: string): void
}

export interface FeedOptions {
  door: 'sse' | 'grpc'
  identity: Identity
  /** What an administrator sees; the device's own, or one made up for the stream. */
  deviceId: string
  address?: string
  /** The last event that the reader has; undefined: it wants what comes from now on. */
  after?: number
  reader: FeedReader
}

export interface FeedDeps {
  epoch: () => string
  readLog: PumpOptions['readLog']
  /** Milliseconds since 1970. */
  now: () => number
}

export class Feed implements Connection, WakeListener, PumpConnection {
  readonly userId: string
  readonly deviceId: string
  readonly identity: Identity
  readonly pump: Pump
  readonly door: FeedOptions['door']
  readonly #options: FeedOptions
  readonly #now: () => number
  readonly #connectedAt: number
  #activeAt: number
  #start: { after: number, end: number } | undefined
  #begun = false
  #blockedSince: number | undefined
  #onClose: Array<() => void> = []
  #closed = false

  constructor (options: FeedOptions, { epoch, readLog, now }: FeedDeps) {
    this.#options = options
    this.identity = options.identity
    this.userId = options.identity.userId
    this.deviceId = options.deviceId
    this.door = options.door
    this.#now = now
    this.#connectedAt = this.#activeAt = now()
    this.pump = new Pump({
      epoch: epoch(),
      userId: this.userId,
      deviceId: this.deviceId,
      connection: this,
      readLog,
      onAcknowledged () {},
      tracked: false,
      now: () => performance.now()
    })
  }

  get closed (): boolean { return this.#closed }
  /** The last event that the reader has when the feed begins. */
  get startsAfter (): number { return this.#start!.after }
  /** Since when the reader takes nothing (performance.now()). */
  get stalledSince (): number | undefined { return this.#blockedSince }

  /** Its place was found: after `after`, in a log that ends at `end` or later. */
  place (after: number, end: number): void {
    this.#start = { after, end }
  }

  /** Lets it write: its reader is ready. */
  begin (): void {
    if (this.#closed || this.#begun) return
    this.#begun = true
    this.pump.start(this.#start!.after, this.#start!.end)
  }

  wake (events: WakeEvent[]): void {
    this.pump.wake(events)
  }

  live (payload: Buffer): void {
    if (this.#begun && !this.#closed && this.#blockedSince === undefined) this.#options.reader.live?.(payload)
  }

  write (events: PumpEvent[]): boolean {
    const free = this.#options.reader.write(events)
    if (free) this.#activeAt = this.#now()
    else this.#blockedSince ??= performance.now()
    return free
  }

  /** The reader takes more. */
  drained (): void {
    if (this.#blockedSince === undefined) return
    this.#blockedSince = undefined
    this.#activeAt = this.#now()
    this.pump.drained()
  }

  disconnect (reason: string): void {
    if (this.#closed) return
    this.close()
    this.#options.reader.end(reason)
  }

  /** The reader has gone, or its door closes. */
  close (): void {
    if (this.#closed) return
    this.#closed = true
    this.pump.close()
    for (const listener of this.#onClose.splice(0)) listener()
  }

  onClose (listener: () => void): void {
    this.#onClose.push(listener)
  }

  state (): ConnectionState {
    return {
      door: this.door,
      device_id: this.deviceId,
      delivery: 'live',
      clean_session: true,
      address: this.#options.address ?? null,
      connected_at: this.#connectedAt,
      last_active_at: this.#activeAt,
      unacknowledged: 0,
      lag: this.#begun ? Math.max(0, this.pump.knownSeq - this.pump.sentSeq) : 0,
      token_expires_at: this.identity.expiresAt * 1000
    }
  }
}
