/**
 * Whether a request comes from a page of this server, in a browser on this machine.
 *
 * The address of the connection must be loopback, and no proxy may have passed it on. The name in `Host` must
 * be loopback too: a page of another site whose name was made to lead here (DNS rebinding) has its own name
 * there. `Origin` must be this server: browsers send it with every POST, and a script cannot change it.
 */
import { type IncomingHttpHeaders } from 'node:http'
import { addressKey, isLoopback } from '../../core/address.ts'

const LOOPBACK_NAMES = new Set(['localhost', '127.0.0.1', '[::1]'])
const SIGNS_OF_A_PROXY = ['forwarded', 'via', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip']

export function isOwnMachine (
  address: string | undefined, headers: IncomingHttpHeaders, scheme: 'http' | 'https'
): boolean {
  const { host, origin } = headers
  const url = `${scheme}://${host}`
  return address !== undefined && isLoopback(addressKey(address)) &&
    SIGNS_OF_A_PROXY.every(name => headers[name] === undefined) &&
    URL.canParse(url) && LOOPBACK_NAMES.has(new URL(url).hostname) &&
    origin === new URL(url).origin &&
    [undefined, 'same-origin'].includes(headers['sec-fetch-site'] as string | undefined)
}
