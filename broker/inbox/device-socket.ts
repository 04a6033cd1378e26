/**
 * The socket of a device: whole packets go in, and it says when it is full.
 *
 * Packets of the user's own topics are written here, past Aedes's emitter and
 * persistence. What is for the moment is dropped when the socket is full; what is
 * durable waits in the log.
 */
import { type Duplex } from 'node:stream'

/** What the socket needs of Aedes's client. */
export interface SocketHolder {
  readonly conn: Duplex
  /** Calls back when the socket takes more, or is closed because it took nothing for too long. */
  waitForDrain (done: () => void): void
}

export class DeviceSocket {
  readonly #holder: SocketHolder
  #keptForDrain = 0
  #ended = false

  constructor (holder: SocketHolder) {
    this.#holder = holder
  }

  get full (): boolean { return this.#holder.conn.writableNeedDrain }
  get waitingBytes (): number { return this.#holder.conn.writableLength }

  /** False: the socket is full. */
  write (packet: Buffer): boolean {
    const { conn } = this.#holder
    return this.#ended || conn.destroyed || conn.write(packet)
  }

  /** Writes the packet, or drops it when the socket is full. */
  writeIfFree (packet: Buffer): void {
    if (!this.full) this.write(packet)
  }

  onceDrained (listener: () => void): void {
    this.#holder.conn.once('drain', listener)
  }

  /** Resolves when the socket takes more, or is closed because it took nothing for too long. */
  async drained (): Promise<void> {
    if (!this.full || this.#ended) return
    await new Promise<void>(resolve => this.#holder.waitForDrain(() => resolve()))
  }

  /** One more packet is kept until the full socket takes it; returns how many are. */
  keepForDrain (): number {
    if (this.#keptForDrain === 0) this.onceDrained(() => { this.#keptForDrain = 0 })
    return ++this.#keptForDrain
  }

  /** Nothing more is written. */
  end (): void {
    this.#ended = true
  }
}
