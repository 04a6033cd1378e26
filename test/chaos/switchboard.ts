/**
 * The network between Echo and a server: a port that leads to one socket or another, and can be cut so that
 * packets vanish: nobody hears that a connection is gone.
 */
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

export interface Switchboard extends AsyncDisposable {
  port: number
  /** Connections lead there from now on; those that lead elsewhere end. */
  lead (path: string): void
  /** Nothing comes through any more, in either direction; connections stay open. */
  cut (): void
  /** What was sent meanwhile comes through. */
  mend (): void
}

export async function openSwitchboard (port = 0): Promise<Switchboard> {
  const sockets = new Set<Socket>()
  let target = ''
  let isCut = false

  const server = createServer(near => {
    const far = connect(target)
    for (const [from, to] of [[near, far], [far, near]] as const) {
      sockets.add(from)
      from.on('error', () => {})
      from.once('close', () => {
        sockets.delete(from)
        if (!isCut) to.destroy()
      })
      from.on('data', data => { if (!to.write(data)) from.pause() })
      to.on('drain', () => { if (!isCut) from.resume() })
      if (isCut) from.pause()
    }
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')

  return {
    port: (server.address() as { port: number }).port,
    lead (path) {
      target = path
      for (const socket of sockets) socket.destroy()
    },
    cut () {
      isCut = true
      for (const socket of sockets) socket.pause()
    },
    mend () {
      isCut = false
      for (const socket of sockets) socket.resume()
    },
    async [Symbol.asyncDispose] () {
      server.close()
      for (const socket of sockets) socket.destroy()
      await once(server, 'close')
    }
  }
}
