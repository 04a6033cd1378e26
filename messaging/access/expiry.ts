/** Ends the connections of this node whose token has expired, whatever door they came through. */
import { type Connections } from '../deliver/connections.ts'

const CHECK_MS = 10_000

export function startTokenExpiry ({ connections, now, checkMs = CHECK_MS }: {
  connections: Pick<Connections, 'all'>
  /** Milliseconds since 1970. */
  now: () => number
  checkMs?: number
}): Disposable {
  const timer = setInterval(() => {
    const seconds = now() / 1_000
    for (const connection of connections.all()) {
      if (connection.identity.expiresAt < seconds) connection.disconnect('its token has expired', 'token')
    }
  }, checkMs)
  return { [Symbol.dispose]: () => clearInterval(timer) }
}
