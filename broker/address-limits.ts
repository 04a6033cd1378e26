/**
 * How many connections one address may hold, and how many of them may still
 * owe their CONNECT.
 *
 * Loopback is exempt: through a tunnel or a proxy on the same machine everybody
 * comes from there, and whoever runs programs here needs no connections to do harm.
 */
import { BlockList, isIPv6 } from 'node:net'

export const MAX_PER_ADDRESS = 1_000
export const MAX_UNFINISHED_PER_ADDRESS = 100

/** One admitted connection; both are told once, or any number of times. */
export interface Admission { finished (): void, left (): void }

interface Counts { open: number, unfinished: number }

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

const FREE: Admission = { finished () {}, left () {} }

export class AddressLimits {
  readonly #counts = new Map<string, Counts>()

  /** Undefined: one too many. */
  admit (address: string): Admission | undefined {
    const key = keyOf(address)
    if (loopback.check(key, isIPv6(key) ? 'ipv6' : 'ipv4')) return FREE
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

const MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i

/** IPv4 as it is, also when it comes mapped; of IPv6 the network of 64 bits, for every customer has one to choose addresses from. */
function keyOf (address: string): string {
  const mapped = MAPPED.exec(address)?.[1]
  if (mapped !== undefined) return mapped
  if (!isIPv6(address) || loopback.check(address, 'ipv6')) return address
  const [head = '', tail] = address.replace(/%.*$/, '').split('::')
  const groups = head === '' ? [] : head.split(':')
  const rest = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = Array.from({ length: Math.max(0, 8 - groups.length - rest.length) }, () => '0')
  return [...groups, ...zeros, ...rest].slice(0, 4).map(group => parseInt(group, 16).toString(16)).join(':') + '::'
}
