/**
 * How large a packet may be.
 *
 * Aedes buffers a packet whole before it looks at it, up to the 256 MB the
 * protocol allows and before the client has shown a token. The length is
 * known from the fixed header [MQTT-2.2.3]: a connection with a larger one ends there.
 */
import { type Client } from 'aedes'

export const MAX_PACKET_BYTES = 256 * 1024

interface Parser {
  packet: { length: number }
  _parseLength (): boolean
  _emitError (error: Error): void
}

export function limitPackets (client: Client): void {
  (client as unknown as { _parser: Parser })._parser._parseLength = parseLength
}

function parseLength (this: Parser): boolean {
  const complete = (Object.getPrototypeOf(this) as Parser)._parseLength.call(this)
  if (!complete || this.packet.length <= MAX_PACKET_BYTES) return complete
  this._emitError(new Error(`a packet has at most ${MAX_PACKET_BYTES} bytes`))
  return false
}
