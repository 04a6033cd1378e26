/** Where a user's log ends: what a client that has everything has got last. */
import { eventOf, type Event } from './event.ts'
import { type Rest } from './rest.ts'

const TAIL = 200

export interface LogEnd {
  epoch: string
  lastSeq: number
  /** The last events, up to `lastSeq`. */
  tail: Event[]
}

export async function readLogEnd (rest: Rest, userId: string): Promise<LogEnd> {
  const { inbox: { epoch, last_seq } } = await rest.mustGet(userId, '/conversations?limit=1')
  const from = Math.max(0, last_seq - TAIL)
  const page = (after: number) => `/inbox?limit=${2 * TAIL}&after=${after}`
  // A page must not begin with `resync_required`: the one behind it may be read.
  const answer = await rest.mustGet(userId, page(from)).catch(() => rest.mustGet(userId, page(from + 1)))
  return { epoch, lastSeq: answer.last_seq, tail: answer.events.map(eventOf) }
}
