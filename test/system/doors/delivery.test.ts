/** What every door promises alike: each event once, in order and without a hole, to those it is for. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openSwitchboard } from '../../chaos/switchboard.ts'
import { until } from '../../support/until.ts'
import { conversationOf, said, type Client, type ToldEvent } from './door.ts'
import { DOORS, FEEDS, TRACKED } from './doors.ts'
import { LARGE, startParty, type Party } from './party.ts'

/** Several windows, and several pages. */
const MISSED = 200
const MEANWHILE = 40
const SENDERS = 8
const EACH = 60
const SAID = 30
/** So many events wait for a connection that takes nothing more. */
const BLOCKED = 100

let party: Party
beforeAll(async () => { party = await startParty() })
afterAll(() => party?.[Symbol.asyncDispose]())

const seqs = (events: ToldEvent[]): number[] => events.flatMap(({ seq }) => seq ?? [])
const dense = (seqs: number[]): number[] => seqs.map((_, i) => seqs[0]! + i)
const count = (client: Client, n: number) =>
  until(() => said(client).length >= n, `${n} messages came`)
const sayAll = (userId: string, conversation: string, contents: string[]) =>
  Promise.all(contents.map(content => party.say(userId, conversation, content)))
const numbered = (what: string, n: number) => Array.from({ length: n }, (_, i) => `${what} ${i}`)

describe.each(DOORS)('$name', door => {
  const nameOf = (role: string): string => `${role}-${DOORS.indexOf(door)}`

  test('what came during an absence comes once and in order, and then what follows', async () => {
    const [ann, bob] = [nameOf('ann'), nameOf('bob')]
    const conversation = await party.direct(bob, ann)
    const first = await party.connect(door, ann)
    await sayAll(bob, conversation, numbered('before', 3))
    await count(first, 3)
    await party.leave(door, ann, first)
    await sayAll(bob, conversation, numbered('missed', MISSED))
    const saying = sayAll(bob, conversation, numbered('meanwhile', MEANWHILE))
    await using again = await party.connect(door, ann, { after: first })
    await saying
    await sayAll(bob, conversation, ['at last'])
    await until(() => said(again).includes('at last'), 'the last one came')
    expect([...said(first), ...said(again)]).toEqual(await party.history(ann, conversation))
    expect(seqs(again.events)).toEqual(dense(seqs(again.events)))
  })

  test('under load each conversation comes in its order, and the log without a hole', async () => {
    const reader = nameOf('reader')
    const senders = numbered(nameOf('sender'), SENDERS).map(name => name.replaceAll(' ', '-'))
    const group = await party.group(senders[0]!, reader, ...senders.slice(1))
    const conversations = [
      group, group, await party.direct(senders[0]!, reader), await party.direct(senders[1]!, reader)
    ]
    await using client = await party.connect(door, reader)
    await Promise.all(senders.map((sender, s) =>
      sayAll(sender, conversations[s < 2 ? 2 + s : 0]!, numbered(sender, EACH))))
    await count(client, SENDERS * EACH)
    for (const conversation of new Set(conversations)) {
      expect(said(client, conversation)).toEqual(await party.history(reader, conversation))
    }
    expect(seqs(client.events)).toEqual(dense(seqs(client.events)))
  })

  test('a reader that pauses gets the rest on the same connection when it reads on', async () => {
    const [ann, bob] = [nameOf('pausing'), nameOf('large')]
    const conversation = await party.direct(bob, ann)
    await using line = await openSwitchboard()
    line.lead(door.portOf(party.echo))
    await using client = await door.connect(line.port, { userId: ann, token: await party.tokenOf(ann) })
    line.clog()
    let n = 0
    await until(async () => {
      await sayAll(bob, conversation, Array.from({ length: 20 }, () => `${n++} ${LARGE}`))
      return (await party.sessions(ann))[0]!.lag > BLOCKED
    }, 'its buffers are full')
    line.mend()
    await count(client, n)
    expect(client.ended).toBe(undefined)
    expect(said(client)).toEqual(await party.history(ann, conversation))
  })

  test('an outsider hears nothing of what others say, and is refused their inbox', async () => {
    const [outsider, ann, bob] = [nameOf('outsider'), nameOf('insider'), nameOf('fellow')]
    const theirs = await party.group(ann, bob)
    const own = await party.direct(ann, outsider)
    await using client = await party.connect(door, outsider)
    await using fellow = await party.connect(door, bob)
    const rest = await party.as(ann)
    const { body: { id } } =
      await rest('POST', '/messages', { conversation_id: theirs, content: 'secret', message_type: 'text' })
    await rest('PATCH', `/messages/${id}`, { content: 'still secret' })
    await rest('PUT', `/messages/${id}/reactions/${encodeURIComponent('👍')}`)
    await (await party.as(bob))('POST', `/messages/${id}/read`)
    await rest('DELETE', `/messages/${id}`)
    await party.say(ann, theirs, 'the last word')
    await party.say(ann, own, 'hello')
    await until(() => said(client).includes('hello') && said(fellow).includes('the last word'), 'both heard')
    expect(new Set(client.events.map(conversationOf))).toEqual(new Set([own]))
    if (door.reach === undefined) return
    const who = { userId: outsider, token: await party.tokenOf(outsider) }
    expect(await door.reach(door.portOf(party.echo), who, ann)).toBe(door.says.notYours)
  })
})

describe.each(TRACKED)('$name', door => {
  test('a new device that has acknowledged a snapshot starts behind it', async () => {
    const ann = `new-${TRACKED.indexOf(door)}`
    const conversation = await party.direct('bob', ann)
    await sayAll('bob', conversation, numbered('old', 5))
    const rest = await party.as(ann)
    const { body: { inbox: { last_seq: seq } } } = await rest('GET', '/conversations')
    const { status } = await rest('POST', '/inbox/ack', { seq }, { 'x-device-id': 'laptop' })
    expect(status).toBe(204)
    await using client = await party.connect(door, ann, { deviceId: 'laptop' })
    await sayAll('bob', conversation, ['new'])
    await count(client, 1)
    expect(seqs(client.events)).toEqual([seq + 1])
  })
})

const PAIRS = TRACKED.flatMap(from => TRACKED.map(to => ({ from, to })))

describe.each(PAIRS)('$from.name, then $to.name', ({ from, to }) => {
  test('the device takes over: the older connection ends, and nothing is skipped', async () => {
    const ann = `taken-${TRACKED.indexOf(from)}-${TRACKED.indexOf(to)}`
    const conversation = await party.direct('taker', ann)
    await using older = await party.connect(from, ann)
    const sending = (async () => {
      for (const content of numbered('say', SAID)) await party.say('taker', conversation, content)
    })()
    await count(older, 10)
    await using newer = await party.connect(to, ann)
    await until(() => older.ended, 'the older connection ends')
    expect(older.ended).toBe(from.says.replaced)
    await sending
    await until(() => said(newer).at(-1) === `say ${SAID - 1}`, 'the rest came')
    const [before, after] = [seqs(older.events), seqs(newer.events)]
    expect(before).toEqual(dense(before))
    expect(after).toEqual(dense(after))
    expect(after[0]).toBeLessThanOrEqual(before.at(-1)! + 1)
    expect(after.at(-1)).toBe(SAID + 1)
    expect(newer.ended).toBe(undefined)
  })
})

describe.each(FEEDS)('$name', door => {
  test('two streams with the name of one device both get everything', async () => {
    const ann = `twice-${DOORS.indexOf(door)}`
    const conversation = await party.direct('twice', ann)
    await using one = await party.connect(door, ann, { deviceId: 'laptop' })
    await using two = await party.connect(door, ann, { deviceId: 'laptop' })
    await party.say('twice', conversation, 'hello')
    await Promise.all([count(one, 1), count(two, 1)])
    expect([one.ended, two.ended]).toEqual([undefined, undefined])
  })
})
