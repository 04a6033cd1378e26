/** A group of 1,000: one speaks, the others are online, spread over the doors. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { until } from '../../support/until.ts'
import { said, type Client } from './door.ts'
import { DOORS } from './doors.ts'
import { startParty, type Party } from './party.ts'

const OTHERS = 999
const AT_ONCE = 25

let party: Party
beforeAll(async () => { party = await startParty() })
afterAll(() => party?.[Symbol.asyncDispose]())

test('in a group of 1,000 each member gets each message once and in order, whatever their door', async () => {
  const names = Array.from({ length: OTHERS }, (_, i) => `member-${i}`)
  const group = await party.group('speaker', ...names)
  const clients: Client[] = []
  try {
    for (let i = 0; i < OTHERS; i += AT_ONCE) {
      clients.push(...await Promise.all(names.slice(i, i + AT_ONCE)
        .map((name, j) => party.connect(DOORS[(i + j) % DOORS.length]!, name))))
    }
    const wanted = ['one', 'two', 'three']
    for (const content of wanted) {
      await party.say('speaker', group, content)
      await until(() => clients.every(client => said(client).includes(content)), 'all heard it')
    }
    expect(clients.map(client => said(client, group))).toEqual(clients.map(() => wanted))
    expect(clients.filter(({ ended }) => ended !== undefined)).toEqual([])
  } finally {
    await Promise.all(clients.map(client => client[Symbol.asyncDispose]()))
  }
})
