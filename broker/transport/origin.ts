/** Which pages may open a WebSocket: a browser says in `Origin` whose script it is. */
import { type IncomingHttpHeaders } from 'node:http'

/**
 * `allowed` undefined: pages of the same host name. Clients that are no browsers send no Origin and may.
 */
export function isAllowedOrigin (
  { origin, host = '' }: Pick<IncomingHttpHeaders, 'origin' | 'host'>, allowed: string[] | undefined
): boolean {
  if (origin === undefined) return true
  if (allowed !== undefined) return allowed.includes('*') || allowed.includes(origin)
  const here = `http://${host}`
  return URL.canParse(origin) && URL.canParse(here) && new URL(origin).hostname === new URL(here).hostname
}
