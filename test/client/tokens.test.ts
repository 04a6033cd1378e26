/** Tokens that run out: replaced in place before, asked for anew after. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ISSUER, direct, send } from '../api/api.ts'
import { startEcho, type Echo } from '../model/world.ts'
import { signToken } from '../support/tokens.ts'
import { until } from '../support/until.ts'
import { deviceOf, startDevice } from './devices.ts'

let echo: Echo

beforeAll(async () => { echo = await startEcho() })
afterAll(async () => { await echo[Symbol.asyncDispose]() })

const seconds = (n: number): number => Math.floor(Date.now() / 1_000) + n

test('a token is replaced before it expires, on the same connection', async () => {
  const [ann, bob] = [await echo.api.user('ann'), await echo.api.user('bob')]
  const id = await direct(ann, bob)
  const reasons: string[] = []
  const phases: string[] = []
  const client = deviceOf(echo, bob, {
    token (reason) {
      reasons.push(reason)
      return signToken(bob.id, { issuer: ISSUER, expires: seconds(reason === 'start' ? 8 : 3_600) })
    }
  })
  await using bobs = client
  client.on('connection', ({ phase }) => { phases.push(phase) })
  await client.start()
  await until(() => reasons.length === 2, 'a new one is asked for')
  await send(ann, id, 'still there')
  await until(() => bobs.model.unread() === 1, 'events go on')
  expect(reasons).toEqual(['start', 'expiring'])
  expect(phases).toEqual(['connecting', 'online'])
})

test('a token that is refused is asked for anew, over REST and over MQTT', async () => {
  const [ann, bob] = [await echo.api.user('ann'), await echo.api.user('bob')]
  const id = await direct(ann, bob)
  const reasons: string[] = []
  const token = (reason: string): string | Promise<string> => {
    reasons.push(reason)
    return reason === 'start' ? signToken(bob.id, { issuer: ISSUER, expires: seconds(-60) }) : bob.token
  }
  await using bobs = await startDevice(echo, bob, { token })
  expect(reasons).toEqual(['start', 'refused'])
  expect(bobs.model.conversation(id)).toBeDefined()
})
