/** Tokens of open connections: they expire, are renewed, are revoked; and presence, which lasts as long. */
import { expect, test } from 'vitest'
import { startTestBroker, type Device, type TestBroker } from '../../support/broker.ts'
import { until } from '../../support/until.ts'

const second = (): number => Math.floor(Date.now() / 1000)
const LIVE = 'user/bob/live'

/** Sends a command that is answered. */
async function ask (device: Device, command: object): Promise<any> {
  const answered = device.replies.length
  await device.command({ ...command, request_id: `r${answered}` })
  await until(() => device.replies.length > answered, 'the answer came')
  return device.replies.at(-1)
}

const connect = (
  broker: TestBroker, userId: string, deviceId: string, options: object = {}
): Promise<Device> =>
  broker.device(userId, { deviceId, subscribe: [`user/${userId}/replies`], ...options })

test('a revocation ends the connections with older tokens, and a revoked token renews none', async () => {
  await using broker = await startTestBroker()
  await broker.direct('ann', 'bob')
  const before = second()
  const [old, later, other] = [
    await connect(broker, 'ann', 'old'), await connect(
      broker, 'ann', 'later', { issuedAt: second() + 60 }
    ), await connect(broker, 'bob', 'other')
  ]
  await broker.messaging.revocations.revoke('root', 'ann')
  await until(() => !old.client.connected, 'it is disconnected')
  const earlier = await broker.token('ann', { issuedAt: before })
  expect(await ask(later, { type: 'auth', token: earlier })).toMatchObject({
    type: 'rejected', error: { code: 'invalid_token' }
  })
  await broker.sql('update users set tokens_valid_after = now()')
  expect(
    await ask(later, { type: 'auth', token: await broker.token('ann', { issuedAt: second() + 90 }) })
  ).toMatchObject({ type: 'accepted' })
  expect([later.client.connected, other.client.connected]).toEqual([true, true])
  expect(await broker.connack({ clientId: 'old', username: 'ann', password: earlier })).toBe(4)
})

test('a token sent on the connection is the one that a revocation looks at', async () => {
  await using broker = await startTestBroker()
  await broker.direct('ann', 'bob')
  const [forward, back] = [
    await connect(broker, 'ann', 'forward'), await connect(broker, 'ann', 'back', { issuedAt: second() + 60 })
  ]
  await ask(forward, { type: 'auth', token: await broker.token('ann', { issuedAt: second() + 60 }) })
  await ask(back, { type: 'auth', token: await broker.token('ann') })
  await broker.messaging.revocations.revoke('root', 'ann')
  await until(() => !back.client.connected, 'the connection with the older token has ended')
  expect(
    await ask(forward, { type: 'auth', token: await broker.token('ann', { issuedAt: second() + 90 }) })
  ).toMatchObject({ type: 'accepted' })
})

test('a connection without any subscription is presence, however it ends', async () => {
  await using broker = await startTestBroker({ offlineAfterMs: 200 })
  await broker.direct('ann', 'bob')
  const bob = await broker.device('bob', { subscribe: [LIVE] })
  const states = (): boolean[] =>
    bob.on(LIVE).filter(event => event.user_id === 'ann').map(event => event.online)
  const polite = await broker.device('ann', { clean: true })
  await until(() => states().length === 1, 'bob hears that ann is there')
  await polite.leave()
  await until(() => states().length === 2, 'bob hears that ann has gone')
  const rude = await broker.rawDevice('ann')
  await until(() => states().length === 3, 'bob hears that ann is there again')
  rude[Symbol.dispose]()
  await until(() => states().length === 4, 'bob hears that ann has gone again')
  expect(states()).toEqual([true, false, true, false])
  expect(bob.received.every(({ qos, retain }) => qos === 0 && !retain)).toBe(true)
})

test('a connection that takes the place of another one of the device announces nothing', async () => {
  await using broker = await startTestBroker({ offlineAfterMs: 200 })
  for (const friend of ['ann', 'carl']) await broker.direct('bob', friend)
  const bob = await broker.device('bob', { subscribe: [LIVE] })
  const first = await broker.device('ann')
  await until(() => bob.on(LIVE).length === 1, 'bob hears that ann is there')
  await broker.device('ann')
  await until(() => !first.client.connected, 'the first connection has ended')
  await (await broker.device('carl')).leave()
  await until(() => bob.on(LIVE).length === 3, 'bob hears that carl came and went')
  expect(bob.on(LIVE).filter(event => event.user_id === 'ann')).toHaveLength(1)
})
