/**
 * The network between Echo and its peers: a port that leads to one place or another, and can be cut so that
 * packets vanish: nobody hears that a connection is gone.
 */
import { once } from 'node:events'
import { connect, createServer, type NetConnectOpts, type Socket } from 'node:net'

export interface Switchboard extends AsyncDisposable {
  port: number
  /** Connections lead to this socket or port from now on; those that lead elsewhere end. */
  lead (to: string | number): void
  /** Nothing comes through any more, in either direction; connections stay open. */
  cut (): void
  /** Those who have connected read nothing any more; what they say still comes through. */
  clog (): void
  /** What was sent meanwhile comes through. */
  mend (): void
}

export async function openSwitchboard (port = 0): Promise<Switchboard> {
  const nears = new Set<Socket>()
  const fars = new Set<Socket>()
  let target: NetConnectOpts = { path: '' }
  let isCut = false
  let isClogged = false
  const isHeld = (from: Socket): boolean => isCut || (isClogged && fars.has(from))
  const all = (): Socket[] => [...nears, ...fars]

  const server = createServer(near => {
    const far = connect(target)
    nears.add(near)
    fars.add(far)
    for (const [from, to] of [[near, far], [far, near]] as const) {
      from.on('error', () => {})
      from.once('close', () => {
        nears.delete(from)
        fars.delete(from)
        if (!isCut) to.destroy()
      })
      from.on('data', data => { if (!to.write(data)) from.pause() })
      to.on('drain', () => { if (!isHeld(from)) from.resume() })
      if (isHeld(from)) from.pause()
    }
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')

  return {
    port: (server.address() as { port: number }).port,
    lead (to) {
      target = typeof to === 'string' ? { path: to } : { port: to }
      for (const socket of all()) socket.destroy()
    },
    cut () {
      isCut = true
      for (const socket of all()) socket.pause()
    },
    clog () {
      isClogged = true
      for (const socket of fars) socket.pause()
    },
    mend () {
      isCut = isClogged = false
      for (const socket of all()) socket.resume()
    },
    async [Symbol.asyncDispose] () {
      server.close()
      for (const socket of all()) socket.destroy()
      await once(server, 'close')
    }
  }
}
