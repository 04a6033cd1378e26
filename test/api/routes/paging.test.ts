/** Pages of any sizes, while others write: nothing twice, nothing missing, in order. */
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { direct, group, inboxEnd, send, startTestApi, type Caller, type TestApi } from '../api.ts'

const RUNS = { numRuns: 6, interruptAfterTimeLimit: 10_000 }
/** The sizes of one page after the other, over and over. */
const sizes = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 4 })

let api: TestApi
let alice: Caller
let bob: Caller

beforeAll(async () => {
  api = await startTestApi()
  alice = await api.user('alice')
  bob = await api.user('bob')
})
afterAll(async () => { await api[Symbol.asyncDispose]() })

/** Runs `write` again and again until `work` is done; returns what `work` found. */
async function whileWriting<T> (write: () => Promise<unknown>, work: () => Promise<T>): Promise<T> {
  const done = new AbortController()
  const writing = (async () => { while (!done.signal.aborted) await write() })()
  try {
    return await work()
  } finally {
    done.abort()
    await writing
  }
}

async function say (conversation: string, count: number): Promise<void> {
  await Promise.all(Array.from(
    { length: count }, (_, i) => send(i % 2 === 0 ? alice : bob, conversation, `message ${i}`)
  ))
}

const range = (from: number, to: number): number[] =>
  Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => from + i)

test('a history read backwards is everything that was there, newest first', async () => {
  await fc.assert(fc.asyncProperty(sizes, fc.integer({ min: 1, max: 30 }), async (limits, count) => {
    const conversation = await group(alice, bob)
    await say(conversation, count)
    const seqs: number[] = []
    await whileWriting(() => send(bob, conversation, 'meanwhile'), async () => {
      for (let page = 0, before = ''; ; page++) {
        const { body } = await alice.get(
          `/conversations/${conversation}/messages?limit=${limits[page % limits.length]}${before}`
        )
        seqs.push(...body.messages.map((message: { seq: number }) => message.seq))
        if (body.has_more !== true) break
        before = `&before_id=${body.messages.at(-1).id}`
      }
    })
    expect(seqs[0]).toBeGreaterThanOrEqual(count)
    expect(seqs).toEqual(range(1, seqs[0]!).reverse())
  }), RUNS)
})

test('a history read forwards is everything after its beginning, oldest first', async () => {
  await fc.assert(fc.asyncProperty(sizes, fc.integer({ min: 1, max: 30 }), async (limits, count) => {
    const conversation = await direct(alice, await api.user('partner'))
    const first = (await send(alice, conversation, 'first')).body
    let written = first.seq as number
    const write =
      async (): Promise<void> => { written = (await send(alice, conversation, 'another')).body.seq }
    for (let i = 0; i < count; i++) await write()
    const seqs: number[] = []
    let after = first.id as string
    const page = async (limit: number): Promise<boolean> => {
      const { body } =
        await alice.get(`/conversations/${conversation}/messages?limit=${limit}&after_id=${after}`)
      seqs.push(...body.messages.map((message: { seq: number }) => message.seq))
      after = body.messages.at(-1)?.id ?? after
      return body.has_more
    }
    await whileWriting(
      write, async () => { for (let i = 0; i < 8; i++) await page(limits[i % limits.length]!) }
    )
    while (await page(200)); // what was written last
    expect(seqs).toEqual(range(first.seq + 1, written))
  }), RUNS)
})

test('a list of conversations has each once; what moved up meanwhile is told by an event after its snapshot', async () => {
  await fc.assert(fc.asyncProperty(sizes, fc.array(
    fc.nat(), { minLength: 3, maxLength: 6 }
  ), async (limits, moves) => {
    const reader = await api.user('reader')
    const partners = await Promise.all(range(1, 12).map(() => api.user('partner')))
    const all = await Promise.all(partners.map(partner => direct(reader, partner)))
    let moved = 0
    const listed: Array<{ id: string, last_activity_at: string }> = []
    let lastSeq: number | undefined
    await whileWriting(async () => {
      const i = moves[moved++ % moves.length]! % all.length
      await send(partners[i]!, all[i]!, 'up')
    }, async () => {
      for (let page = 0, cursor = ''; ; page++) {
        const { body } = await reader.get(`/conversations?limit=${limits[page % limits.length]}${cursor}`)
        lastSeq ??= body.inbox.last_seq
        listed.push(...body.conversations)
        if (body.next_cursor === null) break
        cursor = `&cursor=${body.next_cursor}`
      }
    })
    const { events } = (await reader.get(`/inbox?after=${lastSeq}&limit=500`)).body
    const told =
      events.map((event: { message?: { conversation_id: string } }) => event.message?.conversation_id)
    const ids = listed.map(({ id }) => id)
    expect(new Set(ids).size).toBe(ids.length)
    expect(new Set([...ids, ...told])).toEqual(new Set(all))
    // One that moved up between the look for its place and the reading shows its new time in its old place.
    const keys = listed.filter(({ id }) => !told.includes(id))
      .map(({ id, last_activity_at }) => `${last_activity_at} ${id}`)
    expect(keys).toEqual(keys.toSorted().reverse())
  }), RUNS)
})

test('a search read in pages finds everything that was there, newest first, and nothing of others', async () => {
  await fc.assert(fc.asyncProperty(sizes, fc.integer({ min: 1, max: 20 }), async (limits, count) => {
    const searcher = await api.user('searcher')
    const all =
      await Promise.all([group(alice, bob, searcher), group(alice, bob, searcher), group(alice, bob)])
    const asked = all.slice(0, 2)
    for (let i = 0; i < count; i++) {
      await Promise.all(all.map(id =>
        send(i % 2 === 0 ? alice : bob, id, i % 3 === 0 ? 'something else' : `needle ${i}`)))
    }
    const before = new Set<string>()
    for (const id of asked) {
      const { body } = await searcher.get(`/conversations/${id}/messages?limit=200`)
      for (const message of body.messages) if (message.content.startsWith('needle')) before.add(message.id)
    }
    const hits: string[] = []
    let n = 0
    await whileWriting(() => send(bob, all[n++ % all.length]!, 'needle meanwhile'), async () => {
      for (let page = 0, last = ''; ; page++) {
        const { body } =
          await searcher.get(`/messages/search?q=needle&limit=${limits[page % limits.length]}${last}`)
        for (const { id, conversation_id } of body.messages) {
          expect(asked).toContain(conversation_id)
          hits.push(id)
        }
        if (body.has_more !== true) break
        last = `&before_id=${body.messages.at(-1).id}`
      }
    })
    expect(hits).toEqual([...new Set(hits)].sort().reverse())
    expect([...before].filter(id => !hits.includes(id))).toEqual([])
  }), RUNS)
})

test('an inbox log read in pages is every event once, in order', async () => {
  await fc.assert(fc.asyncProperty(sizes, fc.integer({ min: 1, max: 20 }), async (limits, count) => {
    const conversation = await group(alice, bob)
    const start = await inboxEnd(alice)
    await say(conversation, count)
    const seqs: number[] = []
    const page = async (limit: number): Promise<boolean> => {
      const { body } = await alice.get(`/inbox?after=${seqs.at(-1) ?? start}&limit=${limit}`)
      seqs.push(...body.events.map((event: { seq: number }) => event.seq))
      return body.has_more
    }
    await whileWriting(
      () => send(bob, conversation, 'meanwhile'),
      async () => { for (let i = 0; i < 8; i++) await page(limits[i % limits.length]!) }
    )
    while (await page(500));
    expect(seqs).toEqual(range(start + 1, await inboxEnd(alice)))
  }), RUNS)
})
