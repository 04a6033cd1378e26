/**
 * The PROXY protocol, versions 1 and 2: what a load balancer says of the client
 * before the client's own first byte (haproxy.org/download/3.0/doc/proxy-protocol.txt).
 *
 * With PROXY_PROTOCOL on, every connection must begin with such a header. Only the
 * balancer may reach the port then: any other client could claim any address.
 */
import { isIPv4, isIPv6, type Socket } from 'node:net'

/** A version 1 line is at most 107 bytes; a version 2 header is far below this, whatever its extensions. */
const MAX_HEADER_BYTES = 1_024
const MAX_LINE_BYTES = 107
const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
const FIXED_BYTES = SIGNATURE.length + 4
const LINE_START = Buffer.from('PROXY ', 'latin1')

/** `address` is undefined when the balancer speaks for itself, a health check for example. */
export interface ProxyHeader { length: number, address: string | undefined }

/** Undefined: more bytes are needed. Throws on what is no header. */
export function parseProxyHeader (bytes: Buffer): ProxyHeader | undefined {
  if (startsAlike(bytes, SIGNATURE)) return parseBinary(bytes)
  if (startsAlike(bytes, LINE_START)) return parseLine(bytes)
  throw new Error('no PROXY header')
}

const startsAlike = (bytes: Buffer, start: Buffer): boolean => {
  const length = Math.min(bytes.length, start.length)
  return bytes.subarray(0, length).equals(start.subarray(0, length))
}

function parseLine (bytes: Buffer): ProxyHeader | undefined {
  const end = bytes.subarray(0, MAX_LINE_BYTES).indexOf('\r\n')
  if (end < 0) {
    if (bytes.length >= MAX_LINE_BYTES) throw new Error('a PROXY line has at most 107 bytes')
    return undefined
  }
  const [, protocol, source, destination, ...ports] = bytes.toString('latin1', 0, end).split(' ')
  const length = end + 2
  if (protocol === 'UNKNOWN') return { length, address: undefined }
  const isAddress = protocol === 'TCP4' ? isIPv4 : protocol === 'TCP6' ? isIPv6 : () => false
  if (![source, destination].every(address => isAddress(address ?? ''))) {
    throw new Error('the addresses of a PROXY line are wrong')
  }
  if (ports.length !== 2 || !ports.every(port => /^\d{1,5}$/.test(port) && Number(port) <= 65_535)) {
    throw new Error('the ports of a PROXY line are wrong')
  }
  return { length, address: source }
}

const LOCAL = 0x20
const PROXY = 0x21
const TCP_OVER_IPV4 = 0x11
const TCP_OVER_IPV6 = 0x21

function parseBinary (bytes: Buffer): ProxyHeader | undefined {
  if (bytes.length < FIXED_BYTES) return undefined
  const [command, family] = [bytes[SIGNATURE.length], bytes[SIGNATURE.length + 1]]
  if (command !== LOCAL && command !== PROXY) {
    throw new Error('a PROXY header of an unknown version or command')
  }
  const length = FIXED_BYTES + bytes.readUInt16BE(SIGNATURE.length + 2)
  if (length > MAX_HEADER_BYTES) throw new Error(`a PROXY header has at most ${MAX_HEADER_BYTES} bytes`)
  if (bytes.length < length) return undefined
  const body = bytes.subarray(FIXED_BYTES, length)
  if (command === LOCAL) return { length, address: undefined }
  if (family === TCP_OVER_IPV4) return { length, address: ipv4(body) }
  if (family === TCP_OVER_IPV6) return { length, address: ipv6(body) }
  return { length, address: undefined } // other families name no address that limits could use
}

function ipv4 (body: Buffer): string {
  if (body.length < 12) throw new Error('a PROXY header too short for its addresses')
  return body.subarray(0, 4).join('.')
}

function ipv6 (body: Buffer): string {
  if (body.length < 36) throw new Error('a PROXY header too short for its addresses')
  return Array.from({ length: 8 }, (_, i) => body.readUInt16BE(2 * i).toString(16)).join(':')
}

/**
 * Takes the header off the socket and leaves what follows in it. Calls back with an error when
 * there is no header. It waits without a limit: the caller sets one.
 */
export function readProxyHeader (
  socket: Socket, done: (error: Error | undefined, address: string | undefined) => void
): void {
  let bytes: Buffer = Buffer.alloc(0)

  function readable (): void {
    for (let chunk: Buffer | null = socket.read(); chunk !== null; chunk = socket.read()) {
      bytes = Buffer.concat([bytes, chunk])
    }
    let header: ProxyHeader | undefined
    try {
      header = parseProxyHeader(bytes)
    } catch (error) {
      socket.off('readable', readable)
      return done(error as Error, undefined)
    }
    if (header === undefined) return
    socket.off('readable', readable)
    if (bytes.length > header.length) socket.unshift(bytes.subarray(header.length))
    done(undefined, header.address ?? socket.remoteAddress)
  }
  socket.on('readable', readable)
}
