/** The key under which limits per address count a client. */
import { BlockList, isIPv6 } from 'node:net'

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

const MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i

/**
 * Takes a key that addressKey made. Loopback is exempt from limits per address: all clients of a tunnel or
 * proxy on the same machine come from there, and a user who can run programs here needs no connections to
 * do harm.
 */
export const isLoopback = (key: string): boolean => loopback.check(key, isIPv6(key) ? 'ipv6' : 'ipv4')

/**
 * An IPv4 address as it is, also when it comes mapped into IPv6. Of an IPv6 address the /64 network: within
 * one, a customer chooses addresses freely.
 */
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
