/** Peers that are gone without a word, or read nothing: missed, and without loss when they are back. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openSwitchboard, type Switchboard } from '../../chaos/switchboard.ts'
import { until } from '../../support/until.ts'
import { said, type Client, type Door } from './door.ts'
import { DOORS } from './doors.ts'
import { LARGE, startParty, type Party } from './party.ts'

/** Short, and still more than a busy machine needs for an answer. */
const TIMINGS = {
  stalledMs: 1_500,
  drainTimeoutMs: 1_500,
  wsTimes: { pingAfterMs: 100, pingEveryMs: 500, silenceMs: 3_000 },
  grpcPings: { pingAfterMs: 500, pongWithinMs: 2_500 }
}
const AT_ONCE = 20

let party: Party
beforeAll(async () => { party = await startParty({ timings: TIMINGS }) })
afterAll(() => party?.[Symbol.asyncDispose]())

interface Scene { userId: string, conversation: string, line: Switchboard, client: Client, lively: Client }

/** One behind a line that can break, who has heard one message, and one beside them at the same door. */
async function open (door: Door, name: string): Promise<Scene & AsyncDisposable> {
  const userId = `${name}-${DOORS.indexOf(door)}`
  const conversation = await party.direct('bob', userId)
  const line = await openSwitchboard()
  line.lead(door.portOf(party.echo))
  const client =
    await door.connect(line.port, { userId, token: await party.tokenOf(userId), impatient: true })
  const lively = await party.connect(door, `lively-${userId}`, { impatient: true })
  await party.say('bob', conversation, 'first')
  await until(() => said(client).length === 1, 'the first message came')
  return {
    userId,
    conversation,
    line,
    client,
    lively,
    async [Symbol.asyncDispose] () {
      await Promise.all([client, lively].map(one => one[Symbol.asyncDispose]()))
      await line[Symbol.asyncDispose]()
    }
  }
}

/** Until the connection of the user is forgotten; returns how many messages that took. */
async function sayUntilMissed ({ userId, conversation }: Scene): Promise<number> {
  let n = 0
  await until(async () => {
    await Promise.all(Array.from(
      { length: AT_ONCE }, () => party.say('bob', conversation, `${n++} ${LARGE}`)
    ))
    return (await party.sessions(userId)).length === 0
  }, 'it is missed')
  return n
}

/** Comes back by another way; says which of the messages it and its earlier connection got, in order. */
async function comeBack (door: Door, { userId, client, conversation }: Scene, n: number): Promise<void> {
  await using again = await party.connect(door, userId, { after: client })
  await party.say('bob', conversation, 'last')
  await until(() => said(again).includes('last'), 'the rest came')
  const wanted = await party.history(userId, conversation)
  expect(wanted).toHaveLength(n + 2)
  const [before, after] = [said(client), said(again)]
  expect(before).toEqual(wanted.slice(0, before.length))
  // What was not acknowledged comes again; without acknowledgements nothing does.
  expect(after).toEqual(wanted.slice(-after.length))
  expect(before.length + after.length).toBeGreaterThanOrEqual(wanted.length)
  if (!door.tracked) expect(before.length + after.length).toBe(wanted.length)
}

describe.each(DOORS)('$name', door => {
  test('a peer that is gone without a word is missed, and gets the rest when it is back', async () => {
    await using scene = await open(door, 'gone')
    const { userId, conversation, line, lively } = scene
    line.cut()
    let n = 1
    if (door.missesTheSilent) {
      await party.say('bob', conversation, 'unheard')
      await until(async () => (await party.sessions(userId)).length === 0, 'it is missed')
    } else {
      n = await sayUntilMissed(scene)
    }
    expect(lively.ended).toBe(undefined)
    await comeBack(door, scene, n)
  })

  test('a peer that reads nothing is disconnected, and gets the rest when it is back', async () => {
    await using scene = await open(door, 'frozen')
    scene.line.clog()
    const n = await sayUntilMissed(scene)
    expect(scene.lively.ended).toBe(undefined)
    await comeBack(door, scene, n)
  })
})
