/** Request headers that carry an id chosen by a client. */
import { type IncomingHttpHeaders } from 'node:http'
import { readIdHeader as readText } from '../../core/id-header.ts'

/** The header's text, or undefined when it is absent or empty. Throws `invalid` (core/id-header.ts). */
export const readIdHeader = (headers: IncomingHttpHeaders, name: string): string | undefined =>
  readText(headers[name], name)
