/** What an administrator sees of real connections, and what becomes of a device that is disconnected. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestBroker, type TestBroker } from '../../support/broker.ts'
import { until } from '../../support/until.ts'

let broker: TestBroker

beforeAll(async () => { broker = await startTestBroker() })
afterAll(() => broker[Symbol.asyncDispose]())

const sessions = async (userId: string) =>
  (await broker.messaging.userConnections.list('root', userId)).live.answers[0]!.answer

test('a session tells how it is delivered to, since when, from where, and what it owes', async () => {
  const startedAt = Date.now()
  const conversation = await broker.direct('ann', 'bob')
  const inbox = 'user/bob/inbox'
  await broker.device('bob', { deviceId: 'phone', subscribe: [inbox] })
  await (await broker.device('bob', { deviceId: 'copy', clean: true })).subscribe(inbox, 0)
  await broker.device('bob', { deviceId: 'quiet' })
  const raw = await broker.rawDevice('bob', { clientId: 'slow', clean: false })
  raw.packet({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: inbox, qos: 1 }] } as never)
  await raw.nth('suback', 1)
  await broker.say('ann', conversation, 'hello')
  await until(
    () => raw.of('publish').some(({ payload }) => payload.includes('hello')), 'it has come to the slow one'
  )
  const owed = raw.of('publish').length
  await until(
    async () => (await sessions('bob')).find(session => session.device_id === 'phone')?.lag === 0,
    'the phone has acknowledged'
  )
  const seen = new Map((await sessions('bob')).map(session => [session.device_id, session]))
  const common = { address: '127.0.0.1', unacknowledged: 0, lag: 0 }
  expect(seen.get('phone')).toMatchObject({ ...common, delivery: 'tracked', clean_session: false })
  expect(seen.get('copy')).toMatchObject({ ...common, delivery: 'live', clean_session: true })
  expect(seen.get('quiet')).toMatchObject({ ...common, delivery: 'none', clean_session: false })
  expect(seen.get('slow')).toMatchObject({
    ...common, delivery: 'tracked', clean_session: false, unacknowledged: owed, lag: owed
  })
  for (const { connected_at, last_active_at, token_expires_at } of seen.values()) {
    expect(connected_at).toBeGreaterThanOrEqual(startedAt)
    expect(last_active_at).toBeGreaterThanOrEqual(connected_at)
    expect(token_expires_at).toBeGreaterThan(Date.now())
  }
})

test('a device that is disconnected comes back to its cursor', async () => {
  const conversation = await broker.direct('carl', 'dora')
  const phone = await broker.device('dora', { subscribe: ['user/dora/inbox'] })
  await until(() => phone.events.length === 1, 'the phone has its first event')
  await until(async () => (await sessions('dora'))[0]?.lag === 0, 'and has acknowledged it')
  const { answers } = await broker.messaging.userConnections.disconnect('root', 'dora', 'phone')
  expect(answers).toEqual([{ node: 'alone', answer: 1 }])
  await until(() => !phone.client.connected, 'the connection has ended')
  await until(async () => (await sessions('dora')).length === 0, 'and is gone')
  await broker.say('carl', conversation, 'while away')
  const again = await broker.device('dora')
  await until(() => again.events.length > 0, 'the message is there')
  expect([again.sessionPresent, again.events.map(event => [event.seq, event.type])]).toEqual([
    true, [[2, 'new_message']]
  ])
})
