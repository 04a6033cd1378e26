/** What a page may do in a browser: load what this server has, and open the one WebSocket that it needs. */

/** A name or an IPv4 address, with or without a port: nothing that could end a directive of the policy. */
const HOST = /^([\w.-]+)(?::\d+)?$/

/** `host` is the Host header: a page may reach the broker under the name that it was loaded from. */
export function policyFor (host: string | undefined, webSocketPort: number): string {
  const name = HOST.exec(host ?? '')?.[1]
  const sockets = name === undefined ? '' : ` ws://${name}:${webSocketPort} wss://${name}:${webSocketPort}`
  return [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' blob: data:",
    "media-src 'self' blob:",
    // The MQTT client keeps its timers in a worker: those of a page in the background are late by a minute.
    "worker-src 'self' blob:",
    `connect-src 'self'${sockets}`,
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'"
  ].join('; ')
}
