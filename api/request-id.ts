/**
 * The id of a request: the client's own when it is well-formed, else a new one.
 * The answer carries it in the same header, and so does every log line of the request.
 */
import { randomUUID } from 'node:crypto'
import { type IncomingMessage } from 'node:http'

export const REQUEST_ID_HEADER = 'x-request-id'
export const REQUEST_ID_LABEL = 'request_id'

/** Safe in a log line and in a header. */
const WELL_FORMED = /^[A-Za-z0-9._:/+=@-]{1,128}$/

export function requestIdOf ({ headers }: Pick<IncomingMessage, 'headers'>): string {
  const given = headers[REQUEST_ID_HEADER]
  return typeof given === 'string' && WELL_FORMED.test(given) ? given : randomUUID()
}
