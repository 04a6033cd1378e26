/**
 * What goes over the wire of one phone: a TCP proxy that counts. A packet is what one end has
 * written at once, in pieces of at most one segment; on a network with more to do they may
 * travel together.
 */
import { connect, createServer, type AddressInfo } from 'node:net'

/** What a segment carries on most mobile networks. */
const SEGMENT_BYTES = 1_360
/** When nothing has been said for so long, the exchange is over. */
const QUIET_MS = 250

export interface Traffic {
  /** Up is to the server. */
  upBytes: number
  upPackets: number
  downBytes: number
  downPackets: number
}

export interface Counter extends AsyncDisposable {
  port: number
  /** Waits until nothing is said any more. Since the last time. */
  take (): Promise<Traffic>
}

const none = (): Traffic => ({ upBytes: 0, upPackets: 0, downBytes: 0, downPackets: 0 })

export const sum = (...all: Traffic[]): Traffic => all.reduce((a, b) => ({
  upBytes: a.upBytes + b.upBytes,
  upPackets: a.upPackets + b.upPackets,
  downBytes: a.downBytes + b.downBytes,
  downPackets: a.downPackets + b.downPackets
}), none())

export const mean = (all: Traffic[]): Traffic => {
  const { upBytes, upPackets, downBytes, downPackets } = sum(...all)
  return {
    upBytes: upBytes / all.length,
    upPackets: upPackets / all.length,
    downBytes: downBytes / all.length,
    downPackets: downPackets / all.length
  }
}

export async function startCounter (target: number): Promise<Counter> {
  let counted = none()
  let lastAt = performance.now()
  const sockets = new Set<{ destroy (): void }>()
  const server = createServer({ noDelay: true }, near => {
    const far = connect({ host: '127.0.0.1', port: target, noDelay: true })
    for (const [from, to, way] of [[near, far, 'up'], [far, near, 'down']] as const) {
      sockets.add(from)
      from.on('data', data => {
        lastAt = performance.now()
        counted[`${way}Bytes`] += data.length
        counted[`${way}Packets`] += Math.ceil(data.length / SEGMENT_BYTES)
        to.write(data)
      })
      from.on('end', () => to.end())
      from.on('error', () => to.destroy())
      from.on('close', () => sockets.delete(from))
    }
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    async take () {
      for (lastAt = performance.now(); ;) {
        const wait = lastAt + QUIET_MS - performance.now()
        if (wait <= 0) break
        await new Promise(resolve => setTimeout(resolve, wait))
      }
      const taken = counted
      counted = none()
      return taken
    },
    async [Symbol.asyncDispose] () {
      for (const socket of sockets) socket.destroy()
      await new Promise(resolve => server.close(resolve))
    }
  }
}
