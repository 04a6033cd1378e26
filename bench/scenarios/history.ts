/**
 * What a long history costs: pages of it, and sending. Size 0 has only what
 * makes the pages full; the users are the same and their conversations go on.
 */
import pg from 'pg'
import { fillHistory, PAGED } from '../history-fill.ts'
import { parsed } from '../load/http.ts'
import { quantile } from '../load/latencies.ts'
import { inTurns, partnersOf, userId, World, type User } from '../load/world.ts'
import { asMuchAsPossible, measure } from './messages.ts'
import { type Scenario } from './scenario.ts'

const REQUESTS = 2_000
const AT_ONCE = 4
const PAGE = 50

export const history: Scenario = {
  name: 'history',
  sizes: 'messages',
  compared: ['page p50 ms', 'page p99 ms', 'deep p50 ms', 'deep p99 ms', 'messages/s', 'CPU s/1,000'],
  without: ['one-by-one'],
  async run (bench, messages) {
    const { server, world: options } = bench
    const pairs = [...pairsOf(options)]
    const began = performance.now()
    await fillHistory(server.databaseUrl!, { messages, pairs })
    const filledAt = performance.now()

    using world = await World.open(server, options)
    const paged = await findPaged(server.databaseUrl!, world, pairs.slice(0, PAGED))
    const first = await pages(paged, ({ id }) => `/api/v1/conversations/${id}/messages?limit=${PAGE}`)
    const deep = await pages(
      paged, ({ id, middle }) => `/api/v1/conversations/${id}/messages?limit=${PAGE}&before_id=${middle}`
    )
    return {
      'filled s': Math.round((filledAt - began) / 1_000),
      'page p50 ms': quantile(first, 0.5),
      'page p99 ms': quantile(first, 0.99),
      'deep p50 ms': quantile(deep, 0.5),
      'deep p99 ms': quantile(deep, 0.99),
      ...await measure(bench, world, asMuchAsPossible(4))
    }
  }
}

/** Of all senders and their partners, each pair once, sender first. */
function * pairsOf (options: Parameters<typeof partnersOf>[1]): Generator<[string, string]> {
  const seen = new Set<string>()
  for (let sender = 0; sender < options.senders; sender++) {
    for (const partner of partnersOf(sender, options)) {
      const key = [sender, partner].toSorted((a, b) => a - b).join('/')
      if (seen.has(key)) continue
      seen.add(key)
      yield [userId(sender), userId(partner)]
    }
  }
}

interface Paged {
  reader: User
  id: string
  /** A message in the middle of the conversation. */
  middle: string
}

async function findPaged (url: string, world: World, pairs: Array<[string, string]>): Promise<Paged[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    const paged: Paged[] = []
    for (const [userId, partner] of pairs) {
      const reader = world.users.find(it => it.id === userId)!
      const id = reader.partners.find(it => it.userId === partner)!.conversationId
      const { rows: [middle] } = await client.query(
        `select m.id from conversations c
           join messages m on m.conversation_id = c.id and m.seq = ${PAGE} + 1 + (c.last_seq - ${PAGE}) / 2
          where c.id = $1`,
        [id]
      )
      paged.push({ reader, id, middle: middle.id })
    }
    return paged
  } finally {
    await client.end()
  }
}

/** Milliseconds of each request. The first of each reader is not counted. */
async function pages (paged: Paged[], path: (conversation: Paged) => string): Promise<number[]> {
  const took: number[] = []
  await inTurns(Array(REQUESTS).keys(), AT_ONCE, async i => {
    const conversation = paged[i % paged.length]!
    const began = performance.now()
    const { messages } = parsed(await conversation.reader.http.get(path(conversation)), 200)
    if (messages.length !== PAGE) throw new Error(`a page has ${messages.length} messages`)
    if (i >= paged.length) took.push(performance.now() - began)
  })
  return took
}
