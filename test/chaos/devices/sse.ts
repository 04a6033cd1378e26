/** A reader of server-sent events at any API: it goes on after the last `id` that it has. */
import { openEvents, type Block, type EventReader } from '../../support/event-stream.ts'
import { type Node } from '../cluster.ts'
import { type Event } from '../event.ts'
import { type DeviceRecord, type Ledger } from '../ledger.ts'
import { type Random } from '../random.ts'
import { type Rest } from '../rest.ts'
import { type DeviceConnection, type DeviceDoor } from './device.ts'
import { KeptLog } from './kept-log.ts'

const OPEN_TIMEOUT_MS = 12_000
/** A comment comes every 25 s. */
const SILENCE_MS = 60_000
const LOOK_EVERY_MS = 5_000

export interface SseDoorOptions {
  record: DeviceRecord
  token: string
  apis: Node[]
  random: Random
  ledger: Ledger
  rest: Rest
}

export function sseDoor ({ record, token, apis, random, ledger, rest }: SseDoorOptions): DeviceDoor {
  const { userId, deviceId } = record
  const log = new KeptLog(record, ledger)

  async function open (): Promise<DeviceConnection> {
    const events: Event[] = []
    const after = log.lastSeq
    const opening = new AbortController()
    const timer = setTimeout(() => opening.abort(), OPEN_TIMEOUT_MS)
    let connection: SseConnection | undefined
    const reader = await openEvents(`${random.pick(apis).http}/api/v1`, token, {
      headers: { 'last-event-id': String(after), 'x-device-id': deviceId },
      signal: opening.signal,
      onBlock (block) {
        connection?.heard()
        if (connection?.closed !== true) receive(block, after, events)
      }
    })
    clearTimeout(timer)
    if (reader.status === 200) {
      record.connections.push(events)
      return (connection = new SseConnection(reader))
    }
    if (reader.status === 410) await startAnew()
    else if (reader.status !== 503) {
      ledger.incident(`${userId}/${deviceId}: the stream was answered ${reader.status} ${reader.text}`)
    }
    throw new Error(`refused with ${reader.status}`)
  }

  function receive ({ id, event, data }: Block, after: number, events: Event[]): void {
    if (event === undefined) {
      if (id !== undefined && id !== after) {
        ledger.incident(`${userId}/${deviceId}: the stream begins at ${id}, it was asked for after ${after}`)
      }
    } else if (id !== undefined) {
      const { seq, type } = log.take(data, events)
      if (seq !== id || type !== event) {
        ledger.incident(`${userId}/${deviceId}: ${type} ${seq} came as ${event} ${id}`)
      }
    }
  }

  async function startAnew (): Promise<void> {
    ledger.incident(`${userId}/${deviceId}: the log does not go on from ${log.lastSeq}`)
    const { inbox } = await rest.mustGet(userId, '/conversations?limit=1')
    record.resyncs = (record.resyncs ?? 0) + 1
    log.startAnew(inbox)
  }

  return {
    kind: 'sse',
    takesCommands: false,
    get newest () { return log.newest },
    open,
    caughtUp: end => log.caughtUp(end),
    counts: () => log.counts()
  }
}

class SseConnection implements DeviceConnection {
  closed = false
  readonly ended: Promise<void>
  readonly #reader: EventReader
  readonly #watch: NodeJS.Timeout
  #frozen = false
  #lastHeard = performance.now()

  constructor (reader: EventReader) {
    this.#reader = reader
    this.ended = reader.end.then(() => this.#close())
    this.#watch = setInterval(() => {
      if (!this.#frozen && performance.now() - this.#lastHeard > SILENCE_MS) this.vanish()
    }, LOOK_EVERY_MS)
  }

  heard (): void { this.#lastHeard = performance.now() }

  // The end of the connection is all that this door knows.
  leave (): void { this.vanish() }

  vanish (): void {
    this.#close()
    this.#reader[Symbol.dispose]()
  }

  freeze (): void {
    this.#frozen = true
    this.#reader.pause()
  }

  thaw (): void {
    this.#frozen = false
    this.heard()
    this.#reader.resume()
  }

  abandon (): void {
    this.freeze()
    this.#close()
  }

  #close (): void {
    this.closed = true
    clearInterval(this.#watch)
  }
}
