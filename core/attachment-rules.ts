/**
 * What an attachment may be: its size, its name, and which types a browser may show in place.
 *
 * The type comes from the content, never from what the upload claims. Types in which scripts could run (HTML,
 * SVG and any other XML) are not in INLINE_TYPES, so they are only ever offered for download.
 */
import { fileTypeFromBuffer } from 'file-type'

export const MAX_ATTACHMENT_BYTES = 25 * 1024 * 1024
/** The type is found by so much of the beginning. */
export const SAMPLE_BYTES = 16 * 1024
const MAX_NAME_LENGTH = 255
const TEXT = 'text/plain; charset=utf-8'
const UNKNOWN = 'application/octet-stream'

const PICTURES = [
  'image/png', 'image/apng', 'image/jpeg', 'image/gif', 'image/webp', 'image/avif', 'image/heic',
  'image/heif', 'image/bmp'
]
const AVATARS = new Set(PICTURES)
const INLINE_TYPES = new Set([
  ...PICTURES,
  'audio/aac', 'audio/amr', 'audio/flac', 'audio/mp4', 'audio/mpeg', 'audio/ogg', 'audio/ogg; codecs=opus',
  'audio/wav', 'audio/x-m4a',
  'video/3gpp', 'video/3gpp2', 'video/matroska', 'video/mp4', 'video/mpeg', 'video/ogg', 'video/quicktime',
  'video/webm', 'video/x-m4v'
])

export const shownInline = (contentType: string): boolean => INLINE_TYPES.has(contentType)
export const mayBeAvatar = (contentType: string): boolean => AVATARS.has(contentType)

/** The type of a file that begins with `sample`; `whole` says that this is all of it. */
export async function detectContentType (sample: Uint8Array, whole: boolean): Promise<string> {
  const known = await fileTypeFromBuffer(sample).catch(() => undefined)
  return known?.mime ?? (isText(sample, whole) ? TEXT : UNKNOWN)
}

// Control characters other than tab, line feed, form feed, carriage return and escape are in no text.
const BINARY = /[\0-\x08\x0B\x0E-\x1A\x1C-\x1F\x7F]/ // eslint-disable-line no-control-regex

function isText (sample: Uint8Array, whole: boolean): boolean {
  try {
    return !BINARY.test(new TextDecoder('utf-8', { fatal: true }).decode(sample, { stream: !whole }))
  } catch {
    return false
  }
}

// Controls, and the marks that reverse the direction of text: "photo<RLO>gpj.exe" reads as "photoexe.jpg".
const UNSEEN = /[\p{Cc}\u200E\u200F\u202A-\u202E\u2066-\u2069\u2028\u2029\uFEFF]/gu

/**
 * The name as a person may see it: no folders, nothing invisible, at most 255 code points with the extension
 * kept. Null when nothing is left.
 */
export function cleanFileName (claimed: string | undefined): string | null {
  const name = (claimed ?? '').split(/[/\\]/).at(-1)!.toWellFormed().replace(UNSEEN, '').trim()
  if (name === '' || name === '.' || name === '..') return null
  const points = [...name]
  if (points.length <= MAX_NAME_LENGTH) return name
  const extension = [.../\.[^.]{1,16}$/u.exec(name)?.[0] ?? '']
  return [...points.slice(0, MAX_NAME_LENGTH - extension.length), ...extension].join('')
}
