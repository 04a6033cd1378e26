/** One client: it comes and goes, sometimes without saying so. What came, its door keeps. */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Event } from '../event.ts'
import { type LogEnd } from '../log-end.ts'
import { type Random } from '../random.ts'

const DOZE_SHARE = 0.3
const COMMAND_WITHIN_MS = 15_000
const OFFLINE_POLL_MS = 100

export type DoorKind = 'mqtt' | 'json-acks' | 'json-pongs' | 'sse' | 'grpc'

export interface DeviceConnection {
  readonly closed: boolean
  readonly ended: Promise<void>
  /** Says that it goes. */
  leave (): void
  /** The socket goes without a word. */
  vanish (): void
  /** Reads and writes nothing from now on, but stays open. */
  freeze (): void
  thaw (): void
  /** Half-open: the device has forgotten it, the server has not. What comes is never read. */
  abandon (): void
  /** Resolves when the server has decided; rejects when that is not known. */
  command? (command: object): Promise<void>
}

/** One device's way in. */
export interface DeviceDoor {
  readonly kind: DoorKind
  readonly takesCommands: boolean
  /** The newest message of another user that came. */
  readonly newest: Event | undefined
  /** Rejects when there is no connection. */
  open (): Promise<DeviceConnection>
  /** Has it everything of a log that ends so? */
  caughtUp (end: LogEnd): boolean
  counts (): { received: number, again: number }
}

export interface DeviceOptions {
  userId: string
  deviceId: string
  door: DeviceDoor
  random: Random
  /** Never goes away by itself. */
  steady?: boolean
}

export interface Comings {
  connected: number
  refused: number
  left: number
  vanished: number
  halfOpen: number
  dozed: number
  lost: number
}

export class Device {
  readonly userId: string
  readonly door: DeviceDoor
  readonly comings: Comings = {
    connected: 0, refused: 0, left: 0, vanished: 0, halfOpen: 0, dozed: 0, lost: 0
  }

  readonly #name: string
  readonly #random: Random
  readonly #abandoned = new Set<DeviceConnection>()
  #connection: DeviceConnection | undefined
  #steady: boolean
  #closing = false
  #hurry: () => void = () => {}

  constructor ({ userId, deviceId, door, random, steady = false }: DeviceOptions) {
    this.userId = userId
    this.#name = `${userId}/${deviceId}`
    this.door = door
    this.#random = random
    this.#steady = steady
  }

  toString (): string { return `${this.#name} (${this.door.kind})` }

  get online (): boolean { return this.#connection !== undefined && !this.#connection.closed }

  /** Until it is closed. */
  async live (): Promise<void> {
    const random = this.#random
    while (!this.#closing) {
      const connection = await this.door.open().catch(() => undefined)
      if (connection === undefined) {
        this.comings.refused++
        await sleep(random.between(100, this.#steady ? 200 : 1_500))
        continue
      }
      this.#connection = connection
      this.comings.connected++
      while (!this.#closing && !connection.closed) {
        await Promise.race([
          connection.ended, this.#pause(this.#steady ? undefined : random.between(3_000, 40_000))
        ])
        if (connection.closed) this.comings.lost++
        else if (this.#steady) continue
        else if (random.chance(DOZE_SHARE)) await this.#doze(connection)
        else await this.#goAway(connection)
      }
    }
    this.#connection?.leave()
    for (const connection of this.#abandoned) connection.vanish()
  }

  /** From now on it is online whenever it can be. */
  settle (): void {
    this.#steady = true
    this.#hurry()
  }

  close (): void {
    this.#closing = true
    this.#hurry()
  }

  /** Resolves when it is decided; rejects when that is not known, and waits while it is offline. */
  async command (command: object): Promise<void> {
    const [decided] = await this.commands([command])
    if (decided !== true) throw new Error('not decided')
  }

  /** All on one connection, in the same tick; says of each whether it was decided. */
  async commands (commands: object[]): Promise<boolean[]> {
    for (const deadline = performance.now() + COMMAND_WITHIN_MS; !this.online; await sleep(OFFLINE_POLL_MS)) {
      if (performance.now() > deadline) throw new Error('offline')
    }
    const connection = this.#connection!
    return await Promise.all(commands.map(command =>
      connection.command!(command).then(() => true, () => false)))
  }

  async #doze (connection: DeviceConnection): Promise<void> {
    this.comings.dozed++
    connection.freeze()
    await this.#pause(this.#random.between(2_000, 8_000))
    connection.thaw()
  }

  async #goAway (connection: DeviceConnection): Promise<void> {
    const random = this.#random
    const manner = random.between(0, 1)
    if (manner < 0.4) {
      this.comings.left++
      connection.leave()
    } else if (manner < 0.75) {
      this.comings.vanished++
      connection.vanish()
    } else {
      this.comings.halfOpen++
      connection.abandon()
      this.#abandoned.add(connection)
      setTimeout(() => {
        connection.vanish()
        this.#abandoned.delete(connection)
      }, random.between(10_000, 45_000)).unref()
    }
    await this.#pause(random.chance(0.3) ? 0 : random.between(500, 12_000))
  }

  /** Ends early when the device must settle or close; without a time, only then. */
  async #pause (ms?: number): Promise<void> {
    if (this.#closing || ms === 0 || (this.#steady && ms !== undefined)) return
    await new Promise<void>(resolve => {
      const timer = ms === undefined ? undefined : setTimeout(resolve, ms)
      this.#hurry = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}
