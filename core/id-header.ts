/** Request headers that carry an id chosen by a client. */
import { invalid } from './errors.ts'
import { checkText } from './message-rules.ts'

const MAX_LENGTH = 128

/**
 * The header's text, or undefined when it is absent or empty. Node makes a character of each byte; they are
 * read as UTF-8, so that an id is the same here as in a body or in an MQTT packet. Throws `invalid` for
 * bytes that are not UTF-8 and for more than 128 characters.
 */
export function readIdHeader (raw: string | string[] | undefined, name: string): string | undefined {
  if (typeof raw !== 'string' || raw === '') return undefined
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(raw, 'latin1'))
  } catch {
    throw invalid('invalid_header', `the header ${name} is not UTF-8`)
  }
  if (checkText(text, name) > MAX_LENGTH) {
    throw invalid('invalid_header', `the header ${name} has more than ${MAX_LENGTH} characters`)
  }
  return text
}
