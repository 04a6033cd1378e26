/**
 * A connection that is not accepted yet: where it comes from, its place among
 * those of its address, and how long it may take.
 *
 * The client has until the deadline for its CONNECT [MQTT-3.1.0-1], whatever comes
 * before it (a PROXY header, a WebSocket upgrade), and byte by byte is not fast
 * enough. The broker has as long again for the CONNACK: when more devices come at
 * once than the database opens, they wait rather than being refused.
 */
import { type Socket } from 'node:net'
import { type AddressLimits } from '../limits/address.ts'

export interface Arrival {
  /** Undefined until it is known; admission comes with it. */
  address: string | undefined
  /** Sets where it comes from. False: the address has too many, and it is closed. */
  admit (address: string | undefined): boolean
  /** From now on this ends it when it takes too long, in place of closing the socket. */
  onLate (end: () => void): void
  /** CONNECT is here: from now on the client waits for the CONNACK. */
  connecting (): void
  /** CONNECT is accepted. */
  finished (): void
}

export function arrive (socket: Socket, limits: AddressLimits, connectTimeoutMs: number): Arrival {
  let end = (): void => { socket.destroy() }
  const deadline = setTimeout(() => end(), connectTimeoutMs)
  socket.once('close', () => clearTimeout(deadline))
  let finished = (): void => {}
  return {
    address: undefined,
    admit (address) {
      const admission = address === undefined
        ? undefined
        : limits.admit(address) // undefined: it is closed already
      if (admission === undefined || socket.destroyed) {
        admission?.left()
        socket.destroy()
        return false
      }
      this.address = address
      finished = admission.finished
      socket.once('close', admission.left)
      return true
    },
    onLate (instead) { end = instead },
    connecting () { deadline.refresh() },
    finished () {
      clearTimeout(deadline)
      finished()
    }
  }
}
