/** Range requests (RFC 9110, 14) for content that never changes. */
import { type ByteRange } from '../../store/files/file-store.ts'

/**
 * What a Range header asks of `size` bytes: a range, `unsatisfiable`, or undefined for all of it. A header
 * that is no single range of bytes asks for all of it, too ("a server MAY ignore the Range header field").
 */
export function parseRange (
  header: string | undefined, size: number
): ByteRange | 'unsatisfiable' | undefined {
  const match = /^bytes=[ \t]*(\d*)-(\d*)[ \t]*$/i.exec(header ?? '')
  if (match === null) return undefined
  const [first, last] = [match[1]!, match[2]!]
  if (first === '') {
    if (last === '') return undefined
    const length = Math.min(Number(last), size)
    return length === 0 ? 'unsatisfiable' : { start: size - length, end: size - 1 }
  }
  const start = Number(first)
  if (last !== '' && Number(last) < start) return undefined
  return start >= size
    ? 'unsatisfiable'
    : { start, end: Math.min(last === '' ? size - 1 : Number(last), size - 1) }
}

/** Does If-None-Match name this strong entity tag? The comparison is the weak one (13.1.2). */
export function matchesTag (header: string | undefined, tag: string): boolean {
  if (header === undefined) return false
  return header.trim() === '*' || header.split(',').some(one => one.trim().replace(/^W\//, '') === tag)
}
