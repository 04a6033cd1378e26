/** Tokens of open connections: each door ends them in its own terms, or keeps who shows a fresh one. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { tokenWith } from '../../support/echo-process.ts'
import { until } from '../../support/until.ts'
import { said } from './door.ts'
import { DOORS } from './doors.ts'
import { startParty, type Party } from './party.ts'

/** Enough to connect on a busy machine; all doors wait for the end at the same time. */
const TTL_S = 10

let party: Party
beforeAll(async () => { party = await startParty({ timings: { tokenCheckMs: 200 } }) })
afterAll(() => party?.[Symbol.asyncDispose]())

const shortLived = (userId: string): Promise<string> =>
  tokenWith(userId, {}, Math.floor(Date.now() / 1_000) + TTL_S)

describe.concurrent.each(DOORS)('$name', door => {
  const nameOf = (role: string): string => `${role}-${DOORS.indexOf(door)}`

  test('the end of the token is the end of the connection', async () => {
    const ann = nameOf('expiring')
    const token = await shortLived(ann)
    await using client = await party.connect(door, ann, { token })
    expect(client.ended).toBe(undefined)
    await until(() => client.ended, 'it is ended')
    expect(client.ended).toBe(door.says.expired)
    await expect(party.connect(door, ann, { token })).rejects.toThrow(door.says.refused)
  })

  test('a revocation ends the connection within two seconds, and the token opens no other', async () => {
    const [ann, bob] = [nameOf('revoked'), nameOf('bystander')]
    const token = await party.tokenOf(ann) // one of the second after the revocation would count
    await using client = await party.connect(door, ann, { token })
    await using other = await party.connect(door, bob)
    await party.revoke(ann)
    await until(() => client.ended, 'it is ended')
    expect(client.ended).toBe(door.says.revoked)
    expect(other.ended).toBe(undefined)
    await expect(party.connect(door, ann, { token })).rejects.toThrow(door.says.refused)
  })
})

describe.concurrent.each(DOORS.filter(({ renews }) => renews))('$name', door => {
  const nameOf = (role: string): string => `${role}-${DOORS.indexOf(door)}`

  test('a fresh token of the same user keeps the connection; one of another user does not', async () => {
    const [ann, bob] = [nameOf('renewing'), nameOf('sender')]
    const conversation = await party.direct(bob, ann)
    const token = await shortLived(ann)
    await using renewed = await party.connect(door, ann, { token, deviceId: 'renewed' })
    await using refused = await party.connect(door, ann, { token, deviceId: 'refused' })
    expect(await renewed.renew!(await party.tokenOf(ann))).toBe('accepted')
    expect(await refused.renew!(await party.tokenOf(bob))).toBe('rejected')
    await until(() => refused.ended, 'the other one is ended')
    await party.say(bob, conversation, 'still there?')
    await until(() => said(renewed).includes('still there?'), 'it goes on')
    expect(renewed.ended).toBe(undefined)
  })
})
