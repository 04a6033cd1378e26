/**
 * Retained messages in Redis, for one SUBSCRIBE, each once.
 *
 * `aedes-persistence-redis` gives a message twice when a filter with a wildcard and the topic itself ask for
 * it, or when the hash grows while it is read. And it puts the beginning of a filter into a pattern of
 * Redis, in which `[`, `?`, `*` and `\\` are no plain characters: with those, everything is read.
 */
import { Transform, type Readable } from 'node:stream'
import { filterMatches } from '../../core/topics.ts'
import { type Persistence } from '../aedes/persistence.ts'

const IN_PATTERNS = /[[\]?*\\^]/

export function readRetained (
  store: Pick<Persistence, 'createRetainedStreamCombi'>,
  filters: string[],
  onError: (error: Error, stream: Readable) => void
): Readable {
  const seen = new Set<string>()
  const once = new Transform({
    objectMode: true,
    transform (packet: { topic: string }, _, done) {
      const wanted = !seen.has(packet.topic) && filters.some(filter => filterMatches(filter, packet.topic))
      seen.add(packet.topic)
      if (wanted) this.push(packet)
      done()
    }
  })
  const asked = filters.some(filter => IN_PATTERNS.test(filter)) ? ['#'] : [...filters]
  // A stream that fails does not end the one it is piped to.
  return store.createRetainedStreamCombi(asked).on('error', error => onError(error, once)).pipe(once)
}
