/** Clients that are away while the server is killed. */
import { expect, test } from 'vitest'
import { until } from '../../support/until.ts'
import { said, type Client, type Door } from './door.ts'
import { DOORS } from './doors.ts'
import { startParty } from './party.ts'

const MISSED = 300

test('at every door a client that was away gets each of 300 messages once and in order, also across kill -9', async () => {
  await using party = await startParty({ embedded: true })
  const members: Array<{ door: Door, name: string, before?: Client }> =
    DOORS.map((door, i) => ({ door, name: `member-${i}` }))
  const group = await party.group('speaker', ...members.map(({ name }) => name))
  const speak = async (from: number, to: number): Promise<void> => {
    for (let n = from; n < to; n++) await party.say('speaker', group, `message ${n}`)
  }
  for (const member of members) member.before = await party.connect(member.door, member.name)
  await party.say('speaker', group, 'first')
  for (const { door, name, before } of members) {
    await until(() => said(before!).length === 1, `${door.name} heard the first message`)
    await party.leave(door, name, before!)
  }
  await speak(0, MISSED / 2)
  await party.crash()
  await speak(MISSED / 2, MISSED)

  const wanted = Array.from({ length: MISSED }, (_, n) => `message ${n}`)
  for (const { door, name, before } of members) {
    await using again = await party.connect(door, name, { after: before })
    await until(() => said(again).length >= MISSED, `${door.name} has everything`)
    expect(said(again), door.name).toEqual(wanted)
  }
})
