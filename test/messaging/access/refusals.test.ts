/** What the log shows of those who are turned away, and how much of it. */
import pino from 'pino'
import { expect, test } from 'vitest'
import { createRefusals } from '../../../messaging/access/refusals.ts'
import { signToken } from '../../support/tokens.ts'

const REFUSED = { door: 'mqtt', code: 4, reason: 'the token has expired' } as const

function record (): { log: pino.Logger, lines: any[] } {
  const lines: any[] = []
  return { lines, log: pino({ level: 'info' }, { write: line => lines.push(JSON.parse(line)) }) }
}

test('a line says who was refused, from where and why', () => {
  const { log, lines } = record()
  using refusals = createRefusals(log)
  refusals.note({ ...REFUSED, address: '192.0.2.7', clientId: 'phone', user: 'ann' })
  expect(lines).toMatchObject([{
    door: 'mqtt', address: '192.0.2.7', client_id: 'phone', user_id: 'ann', code: 4, reason: REFUSED.reason
  }])
})

test('texts that a stranger chose are cut, and a token among them is not shown', async () => {
  const { log, lines } = record()
  using refusals = createRefusals(log)
  const token = await signToken('ann')
  refusals.note({ ...REFUSED, address: '192.0.2.7', clientId: 'x'.repeat(60_000), user: token })
  refusals.note({ ...REFUSED, address: '192.0.2.8', clientId: `Bearer ${token}` })
  expect(lines.map(line => line.client_id)).toEqual([`${'x'.repeat(128)}…`, 'a token'])
  expect(lines[0].user_id).toBe('a token')
  expect(JSON.stringify(lines)).not.toContain(token.split('.')[2])
})

test('an address has few lines in a minute, all of them together have some, and the rest is counted', () => {
  const { log, lines } = record()
  const refusals = createRefusals(log)
  for (let i = 0; i < 1_000; i++) refusals.note({ ...REFUSED, address: '192.0.2.7' })
  expect(lines).toHaveLength(5)
  // One customer has a whole network of addresses.
  for (let i = 0; i < 1_000; i++) refusals.note({ ...REFUSED, address: `2001:db8::${i.toString(16)}` })
  expect(lines).toHaveLength(10)
  for (let i = 0; i < 1_000; i++) refusals.note({ ...REFUSED, address: `10.0.${i >> 8}.${i & 255}` })
  expect(lines).toHaveLength(100)
  refusals[Symbol.dispose]()
  expect(lines.at(-1)).toMatchObject({
    refused: 2_900, msg: 'more connections were refused in the last minute'
  })
})
