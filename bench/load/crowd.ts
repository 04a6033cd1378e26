/** Many phones, one a user, that only receive. */
import { type Server } from '../server.ts'
import { ConnectionRefused, Device } from './device.ts'
import { inTurns } from './world.ts'

const TRIES = 20
const PAUSE_MS = 1_000
const IN_FLIGHT = 200
/** The ephemeral ports of one address are fewer than what a run of two storms leaves in TIME_WAIT. */
const ADDRESSES = process.platform === 'linux' ? 8 : 1

export interface Arrival {
  /** The stored session was there. */
  present: boolean
  /** Attempts that were refused or cut off; the phone tries again after a second. */
  failures: string[]
}

export class Crowd implements Disposable {
  readonly devices: Device[] = []
  readonly #server: Server
  readonly #name: string
  readonly #tokens: string[]
  onEvent: ((device: number, payload: string) => void) | undefined

  /** Nothing is connected yet; the tokens are there, so that making them costs nothing later. */
  constructor (server: Server, name: string, size: number) {
    this.#server = server
    this.#name = name
    this.#tokens = Array.from({ length: size }, (_, i) => server.token(this.userId(i)))
  }

  userId (device: number): string { return `${this.#name}-${device}` }

  token (device: number): string { return this.#tokens[device]! }

  /** Connects the phones from `from` to before `to`, at most `atOnce` at a time. */
  async connect (from: number, to: number, atOnce = IN_FLIGHT): Promise<Arrival[]> {
    const arrivals: Arrival[] = []
    const numbers = Array.from({ length: to - from }, (_, i) => from + i)
    await inTurns(numbers, atOnce, async number => { arrivals.push(await this.#connectOne(number)) })
    return arrivals
  }

  async #connectOne (number: number): Promise<Arrival> {
    const failures: string[] = []
    for (;;) {
      try {
        const device = await Device.connect({
          host: this.#server.api.host,
          port: this.#server.mqttPort,
          userId: this.userId(number),
          token: this.#tokens[number]!,
          deviceId: `phone-${number}`, // a broker without users needs them to differ
          onEvent: payload => this.onEvent?.(number, payload),
          localAddress: ADDRESSES === 1 ? undefined : `127.0.0.${2 + number % ADDRESSES}`
        })
        this.devices[number] = device
        return { present: device.sessionPresent, failures }
      } catch (error) {
        failures.push(error instanceof ConnectionRefused ? error.message : (error as Error).message)
        if (failures.length === TRIES) throw error
        await new Promise(resolve => setTimeout(resolve, PAUSE_MS))
      }
    }
  }

  /** All connections are cut, without DISCONNECT. */
  drop (): void {
    for (const device of this.devices) device?.close()
    this.devices.length = 0
  }

  [Symbol.dispose] (): void { this.drop() }
}
