/** TLS of a connection that is there already, because a PROXY header may come before it. */
import { type Socket } from 'node:net'
import { createSecureContext, TLSSocket, type SecureContext } from 'node:tls'

/** PEM. */
export interface Certificate { cert: Buffer, key: Buffer }

export type Secure = (socket: Socket, secured: (socket: TLSSocket) => void) => void

/** What it returns calls back when the handshake is done; who waits for it sets a limit. */
export function createSecure (certificate: Certificate): Secure {
  const secureContext: SecureContext = createSecureContext({ ...certificate, minVersion: 'TLSv1.2' })
  return (socket, secured) => {
    const tls = new TLSSocket(socket, { isServer: true, secureContext })
    socket.on('error', () => {}) // its close is what counts
    tls.on('error', () => socket.destroy())
    tls.once('close', () => socket.destroy())
    tls.once('secure', () => secured(tls))
  }
}
