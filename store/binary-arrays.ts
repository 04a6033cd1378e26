/**
 * Arrays in the binary form of PostgreSQL's protocol: no text is quoted here to be unquoted there, and the
 * server copies numbers and ids in place of parsing them, which was 12 % of its time under full load.
 *
 * Source: array_recv and the recv functions of these types (src/backend/utils/adt), PostgreSQL 15 to 18.
 */

/** What JavaScript has for them; jsonb as JSON. */
export interface Elements {
  boolean: boolean
  bigint: number
  int: number
  text: string
  timestamptz: Date
  uuid: string
  jsonb: string
}
export type ElementType = keyof Elements

const OIDS: Record<ElementType, number> =
  { boolean: 16, bigint: 20, int: 23, text: 25, timestamptz: 1184, uuid: 2950, jsonb: 3802 }

/** From 1970 to 2000, where PostgreSQL begins to count. */
const EPOCH_MS = 946_684_800_000
const HEADER_BYTES = 20
const LENGTH_BYTES = 4
const NULL_LENGTH = -1
const JSONB_VERSION = 1
const DASH = 45
/** Where a uuid has the digits of its bytes. */
const UUID_PAIRS = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34]
/** At most, for a UTF-16 code unit in UTF-8. */
const BYTES_PER_UNIT = 3
/** Up to here a loop is faster than a call into native code. */
const SHORT = 64
const SCRATCH_BYTES = 256 * 1024

/** Where an array is written before its size is known. */
const SCRATCH = Buffer.allocUnsafeSlow(SCRATCH_BYTES)
const SCRATCH_VIEW = viewOf(SCRATCH)
/** One that is larger, for as long as an array needs it. */
let scratch = SCRATCH
let view = SCRATCH_VIEW

/** What each character code means as a hexadecimal digit; negative: none. */
const DIGITS = new Int8Array(128).fill(-1)
for (let digit = 0; digit < 16; digit++) {
  const letter = digit.toString(16)
  DIGITS[letter.charCodeAt(0)] = DIGITS[letter.toUpperCase().charCodeAt(0)] = digit
}

/**
 * A parameter `type[]` of what `of` returns for each row; null and undefined are NULL. Throws a RangeError
 * for what the type cannot hold: of numbers only safe integers are sent.
 */
export function binaryArray<Type extends ElementType, Row> (
  type: Type, rows: readonly Row[], of: (row: Row) => Elements[Type] | null | undefined
): Buffer {
  const write = WRITERS[type] as Writer<Type>
  let hasNull = 0
  let at = HEADER_BYTES
  for (let i = 0; i < rows.length; i++) {
    const value = of(rows[i]!)
    if (value === null || value === undefined) {
      hasNull = 1
      makeRoom(at, LENGTH_BYTES)
      view.setInt32(at, NULL_LENGTH)
      at += LENGTH_BYTES
    } else {
      at = write(value, at)
    }
  }
  view.setInt32(0, 1) // dimensions
  view.setInt32(4, hasNull)
  view.setInt32(8, OIDS[type])
  view.setInt32(12, rows.length)
  view.setInt32(16, 1) // the index of the first element
  const array = Buffer.allocUnsafe(at)
  scratch.copy(array, 0, 0, at)
  scratch = SCRATCH
  view = SCRATCH_VIEW
  return array
}

/** Returns where the next element begins. */
type Writer<Type extends ElementType> = (value: Elements[Type], at: number) => number

const WRITERS: { [Type in ElementType]: Writer<Type> } = {
  text: (value, at) => writeText(value, at, at + LENGTH_BYTES),
  jsonb (json, at) {
    makeRoom(at, LENGTH_BYTES + 1)
    view.setUint8(at + LENGTH_BYTES, JSONB_VERSION)
    return writeText(json, at, at + LENGTH_BYTES + 1)
  },
  uuid: writeUuid,
  bigint (value, at) {
    if (!Number.isSafeInteger(value)) throw new RangeError(`not a safe integer: ${value}`)
    const begin = writeLength(8, at)
    view.setInt32(begin, Math.floor(value / 2 ** 32))
    view.setUint32(begin + 4, value >>> 0)
    return begin + 8
  },
  timestamptz (value, at) {
    const begin = writeLength(8, at)
    // Microseconds of the 23rd century are beyond the safe integers.
    view.setBigInt64(begin, BigInt(value.getTime() - EPOCH_MS) * 1_000n)
    return begin + 8
  },
  int (value, at) {
    if ((value | 0) !== value) throw new RangeError(`not an int: ${value}`)
    const begin = writeLength(4, at)
    view.setInt32(begin, value)
    return begin + 4
  },
  boolean (value, at) {
    const begin = writeLength(1, at)
    view.setUint8(begin, value ? 1 : 0)
    return begin + 1
  }
}

/** Makes room for as many bytes, too. Returns where they begin. */
function writeLength (bytes: number, at: number): number {
  makeRoom(at, LENGTH_BYTES + bytes)
  view.setInt32(at, bytes)
  return at + LENGTH_BYTES
}

/** The length, at `at`, counts from behind itself. */
function writeText (text: string, at: number, begin: number): number {
  makeRoom(begin, text.length * BYTES_PER_UNIT)
  const end = writeAscii(text, begin) ?? begin + scratch.write(text, begin)
  view.setInt32(at, end - at - LENGTH_BYTES)
  return end
}

function writeAscii (text: string, at: number): number | undefined {
  if (text.length > SHORT) return undefined
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code > 127) return undefined
    scratch[at + i] = code
  }
  return at + text.length
}

function writeUuid (uuid: string, at: number): number {
  const begin = writeLength(16, at)
  let wrong = (uuid.length ^ 36) | (uuid.charCodeAt(8) ^ DASH) | (uuid.charCodeAt(13) ^ DASH) |
    (uuid.charCodeAt(18) ^ DASH) | (uuid.charCodeAt(23) ^ DASH)
  for (let i = 0; i < 16; i++) {
    const from = UUID_PAIRS[i]!
    const high = uuid.charCodeAt(from)
    const low = uuid.charCodeAt(from + 1)
    const byte = DIGITS[high & 127]! << 4 | DIGITS[low & 127]!
    wrong |= ((high | low) & ~0x7f) | (byte & ~0xff)
    scratch[begin + i] = byte
  }
  if (wrong !== 0) throw new RangeError(`not a uuid: ${uuid}`)
  return begin + 16
}

function makeRoom (at: number, bytes: number): void {
  if (at + bytes <= scratch.length) return
  const larger = Buffer.allocUnsafe((at + bytes) * 2)
  scratch.copy(larger, 0, 0, at)
  scratch = larger
  view = viewOf(larger)
}

function viewOf ({ buffer, byteOffset, byteLength }: Buffer): DataView {
  return new DataView(buffer, byteOffset, byteLength)
}
