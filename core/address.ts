/** Whose address is it: what limits per address count under one key. */
import { BlockList, isIPv6 } from 'node:net'

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

const MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i

/**
 * Loopback is exempt from limits per address: through a tunnel or a proxy on the same machine everybody
 * comes from there, and whoever runs programs here needs no connections to do harm. Takes what addressKey gives.
 */
export const isLoopback = (key: string): boolean => loopback.check(key, isIPv6(key) ? 'ipv6' : 'ipv4')

/** IPv4 as it is, also when it comes mapped; of IPv6 the network of 64 bits, for every customer has one to choose addresses from. */
export function addressKey (address: string): string {
  const mapped = MAPPED.exec(address)?.[1]
  if (mapped !== undefined) return mapped
  if (!isIPv6(address) || loopback.check(address, 'ipv6')) return address
  const [head = '', tail] = address.replace(/%.*$/, '').split('::')
  const groups = head === '' ? [] : head.split(':')
  const rest = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = Array.from({ length: Math.max(0, 8 - groups.length - rest.length) }, () => '0')
  return [...groups, ...zeros, ...rest].slice(0, 4).map(group => parseInt(group, 16).toString(16)).join(':') +
    '::'
}
