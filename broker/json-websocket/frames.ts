/** Text frames [RFC 6455, 5.2], written past `ws`: any number of events is one write. */
import { eventHead } from '../../core/events.ts'
import { type PumpEvent } from '../../messaging/deliver/pump.ts'

const FINAL_TEXT = 0x81
/** A length of 7 bits up to here, then of 16 bits, then of 64. */
const SHORT = 125
const IN_16_BITS = 126
const IN_64_BITS = 127

/** One buffer with a frame for each event. */
export function encodeEvents (events: readonly PumpEvent[]): Buffer {
  const heads = events.map(({ seq }) => eventHead(seq))
  const sizes = events.map(({ body }, i) => heads[i]!.length + body.tail.length)
  const buffer = Buffer.allocUnsafe(sizes.reduce((sum, size) => sum + headerLength(size) + size, 0))
  let at = 0
  events.forEach(({ body }, i) => {
    at = writeHeader(buffer, at, sizes[i]!)
    at += buffer.write(heads[i]!, at, 'latin1')
    at += body.tail.copy(buffer, at)
  })
  return buffer
}

export function encodeFrame (payload: Buffer): Buffer {
  const buffer = Buffer.allocUnsafe(headerLength(payload.length) + payload.length)
  payload.copy(buffer, writeHeader(buffer, 0, payload.length))
  return buffer
}

const headerLength = (size: number): number => size <= SHORT ? 2 : size <= 0xFFFF ? 4 : 10

function writeHeader (buffer: Buffer, start: number, size: number): number {
  buffer[start] = FINAL_TEXT
  if (size <= SHORT) {
    buffer[start + 1] = size
    return start + 2
  }
  if (size <= 0xFFFF) {
    buffer[start + 1] = IN_16_BITS
    return buffer.writeUInt16BE(size, start + 2)
  }
  buffer[start + 1] = IN_64_BITS
  return buffer.writeBigUInt64BE(BigInt(size), start + 2)
}
