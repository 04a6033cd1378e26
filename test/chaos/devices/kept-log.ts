/** What one device has of its user's log, at a door that tells the `seq` of each event. */
import { eventOf, type Event } from '../event.ts'
import { type DeviceRecord, type Ledger } from '../ledger.ts'
import { type LogEnd } from '../log-end.ts'
import { isShown } from './shown.ts'

export type OnEvent = (event: Event) => void

export class KeptLog {
  readonly record: DeviceRecord
  /** The newest seq it has, of the epoch it knows. */
  lastSeq: number
  newest: Event | undefined
  #epoch: string | undefined
  readonly #ledger: Ledger
  readonly #onEvent: OnEvent

  constructor (record: DeviceRecord, ledger: Ledger, onEvent: OnEvent = () => {}) {
    this.record = record
    this.lastSeq = record.startSeq
    this.#ledger = ledger
    this.#onEvent = onEvent
  }

  /** For a connection that has begun. */
  take (json: unknown, events: Event[]): Event {
    const event = this.#ledger.intern(this.record.userId, eventOf(json))
    events.push(event)
    const isNewEpoch = this.#epoch !== undefined && this.#epoch !== event.epoch
    this.lastSeq = isNewEpoch ? event.seq : Math.max(this.lastSeq, event.seq)
    this.#epoch = event.epoch
    if (event.type === 'new_message') this.newest = event
    this.#onEvent(event)
    return event
  }

  /** A snapshot was taken: it goes on from here. */
  startAnew ({ epoch, last_seq: seq }: { epoch: string, last_seq: number }): void {
    this.#epoch = epoch
    this.lastSeq = seq
  }

  caughtUp ({ epoch, lastSeq, tail }: LogEnd): boolean {
    if (this.#epoch !== undefined && this.#epoch !== epoch) return false
    return this.lastSeq <= lastSeq && this.lastSeq >= lastSeq - tail.length &&
      tail.every(event => event.seq <= this.lastSeq || !isShown(this.record.door, event))
  }

  counts (): { received: number, again: number } {
    const events = this.record.connections.flat()
    return { received: events.length, again: events.length - new Set(events.map(({ seq }) => seq)).size }
  }
}
