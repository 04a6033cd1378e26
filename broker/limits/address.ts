/**
 * How many connections one address may hold, and how many of them may still
 * owe their CONNECT. Loopback is exempt.
 */
import { addressKey, isLoopback } from '../../core/address.ts'

export const MAX_PER_ADDRESS = 1_000
export const MAX_UNFINISHED_PER_ADDRESS = 100

/** One admitted connection. Calling either function again changes nothing. */
export interface Admission { finished (): void, left (): void }

interface Counts { open: number, unfinished: number }

const FREE: Admission = { finished () {}, left () {} }

export class AddressLimits {
  readonly #counts = new Map<string, Counts>()

  /** Undefined: the address has too many. */
  admit (address: string): Admission | undefined {
    const key = addressKey(address)
    if (isLoopback(key)) return FREE
    const counts = this.#counts.get(key) ?? { open: 0, unfinished: 0 }
    if (counts.open >= MAX_PER_ADDRESS || counts.unfinished >= MAX_UNFINISHED_PER_ADDRESS) return undefined
    this.#counts.set(key, counts)
    counts.open++
    counts.unfinished++
    let [open, unfinished] = [true, true]
    const finished = (): void => {
      if (unfinished) counts.unfinished--
      unfinished = false
    }
    const left = (): void => {
      finished()
      if (open && --counts.open === 0) this.#counts.delete(key)
      open = false
    }
    return { finished, left }
  }

  /** Addresses that hold a connection. */
  get size (): number { return this.#counts.size }
}
