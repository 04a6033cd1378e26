/** When a session that does not acknowledge makes its user due for a push. */
import pino from 'pino'
import { expect, test, vi } from 'vitest'
import { createOverdue } from '../../../messaging/deliver/overdue.ts'
import { startMessaging } from '../../../messaging/start.ts'
import {
  pubackPacket, startTestBroker, subscribePacket, type RawClient, type TestBroker
} from '../../support/broker.ts'
import { SECRET } from '../../support/tokens.ts'
import { until } from '../../support/until.ts'

async function subscribedRaw (broker: TestBroker, clientId = 'phone'): Promise<RawClient> {
  const raw = await broker.rawDevice('ann', { clientId, clean: false })
  raw.packet(subscribePacket(1, 'user/ann/inbox'))
  await raw.nth('suback', 1)
  return raw
}

const due = async (broker: TestBroker): Promise<{ seq: number, ms: number } | undefined> =>
  (await broker.sql(
    `select seq::int, extract(epoch from due_at - now())::float * 1000 as ms
       from push_due where user_id = $1`,
    'ann'
  ))[0]

test('a session that does not acknowledge in time makes a push due; acknowledging cancels it', async () => {
  await using broker = await startTestBroker({ graceMs: 100 })
  const conversation = await broker.direct('bob', 'ann')
  const raw = await subscribedRaw(broker)
  const sentAt = Date.now()
  await broker.say('bob', conversation, 'hello')
  await raw.nth('publish', 2)
  expect((await until(() => due(broker), 'a push is due')).seq).toBe(2)
  expect(Date.now() - sentAt).toBeGreaterThanOrEqual(99)
  for (const { messageId } of raw.of('publish')) raw.packet(pubackPacket(messageId!))
  await until(async () => await due(broker) === undefined, 'the push is cancelled')
})

test('a session that acknowledges in time makes no push due', async () => {
  await using broker = await startTestBroker({ graceMs: 100 })
  const conversation = await broker.direct('bob', 'ann')
  const silent = await subscribedRaw(broker, 'silent')
  await broker.device('ann', { subscribe: ['user/ann/inbox'] })
  await broker.say('bob', conversation, 'hello')
  // The silent one is overdue by the time its user has acknowledged elsewhere.
  await silent.nth('publish', 2)
  const session =
    [...broker.messaging.trackedSessions.of('ann')].find(({ deviceId }) => deviceId === 'silent')!
  await until(
    () => !session.pump.takeOverdue(1_000_000) && Date.now() - session.pump.oldestInFlightAt! > 300,
    'the grace period is over'
  )
  const acked = (): Promise<unknown[]> =>
    broker.sql('select 1 from users where id = $1 and acked_seq = inbox_seq', 'ann')
  await until(async () => (await acked()).length === 1, 'the other device has acknowledged')
  await broker.messaging.overdue.flush()
  expect(await due(broker)).toBeUndefined()
})

test('a user who acknowledges while they become overdue is left with no push', async () => {
  await using broker = await startTestBroker()
  const conversation = await broker.direct('bob', 'ann')
  const raw = await subscribedRaw(broker)
  await broker.say('bob', conversation, 'hello')
  await raw.nth('publish', 2)
  const acknowledging = await broker.connect()
  try {
    await acknowledging.query('begin')
    await acknowledging.query('update users set acked_seq = inbox_seq where id = $1', ['ann'])
    broker.messaging.overdue.add({ userId: 'ann', seq: 2, dueAt: new Date() })
    const flushed = broker.messaging.overdue.flush()
    const waits = (): Promise<unknown[]> => broker.sql(
      'select 1 from pg_stat_activity where datname = current_database() and wait_event_type = $1', 'Lock')
    await until(async () => (await waits()).length > 0, 'it waits for the acknowledgement')
    await acknowledging.query('commit')
    await flushed
  } finally {
    acknowledging.release()
  }
  expect(await due(broker)).toBeUndefined()
})

test('a session that goes away with unacknowledged events makes its user due at once', async () => {
  await using broker = await startTestBroker()
  const conversation = await broker.direct('bob', 'ann')
  const raw = await subscribedRaw(broker)
  await broker.say('bob', conversation, 'hello')
  await raw.nth('publish', 2)
  expect(await due(broker)).toBeUndefined()
  raw[Symbol.dispose]()
  const row = await until(() => due(broker), 'a push is due')
  expect(row.seq).toBe(2)
  expect(row.ms).toBeLessThanOrEqual(0)
})

test('beside another session its user is due after the grace period only', async () => {
  await using broker = await startTestBroker({ graceMs: 3_600_000 })
  const conversation = await broker.direct('bob', 'ann')
  const leaving = await subscribedRaw(broker)
  const staying = await subscribedRaw(broker, 'tablet')
  await broker.say('bob', conversation, 'hello')
  await Promise.all([leaving.nth('publish', 2), staying.nth('publish', 2)])
  leaving[Symbol.dispose]()
  expect((await until(() => due(broker), 'a push is due')).ms).toBeGreaterThan(50_000)
})

test('a session that leaves with everything acknowledged makes no push due', async () => {
  await using broker = await startTestBroker()
  const conversation = await broker.direct('bob', 'ann')
  const phone = await broker.device('ann', { subscribe: ['user/ann/inbox'] })
  await broker.say('bob', conversation, 'hello')
  await until(() => phone.events.length === 2, 'all came')
  await until(
    () => [...broker.messaging.trackedSessions.of('ann')].every(session => session.pump.ackedSeq === 2),
    'all is acknowledged'
  )
  await phone.leave()
  await until(() => !broker.messaging.trackedSessions.has('ann'), 'the session is over')
  await broker.messaging.overdue.flush()
  expect(await due(broker)).toBeUndefined()
})

test('a live copy is no session: a message beside it is due at once', async () => {
  await using broker = await startTestBroker()
  const conversation = await broker.direct('bob', 'ann')
  const copy = await broker.device('ann')
  await copy.subscribe('user/ann/inbox', 0)
  await broker.say('bob', conversation, 'hello')
  expect((await until(() => due(broker), 'a push is due')).ms).toBeLessThanOrEqual(0)
})

test('a session that ends without having heard of a message leaves its user due', async () => {
  await using broker = await startTestBroker()
  const conversation = await broker.direct('bob', 'ann')
  const raw = await subscribedRaw(broker)
  const { messageId } = await raw.nth('publish', 1)
  raw.packet(pubackPacket(messageId!))
  const [session] = broker.messaging.trackedSessions.of('ann')
  await until(() => session!.pump.ackedSeq === 1, 'all is acknowledged')
  // Another node that took the session for one that will hear of it, and was not heard.
  await using elsewhere = await startMessaging({
    database: broker.messaging.database,
    authentication: { key: { kind: 'secret', secret: SECRET } },
    graceMs: 10_000,
    log: pino({ enabled: false })
  })
  await elsewhere.sends.send({
    senderId: 'bob', draft: { conversation_id: conversation, content: 'hello', message_type: 'text' }
  })
  await broker.sql('delete from push_due')
  raw[Symbol.dispose]()
  const row = await until(() => due(broker), 'a push is due')
  expect(row.seq).toBe(2)
  expect(row.ms).toBeLessThanOrEqual(0)
})

test('a device that connects again with unacknowledged events gets its time', async () => {
  await using broker = await startTestBroker({ graceMs: 3_600_000 })
  const conversation = await broker.direct('bob', 'ann')
  const raw = await subscribedRaw(broker)
  await broker.say('bob', conversation, 'hello')
  await raw.nth('publish', 2)
  await broker.rawDevice('ann', { clientId: 'phone', clean: false })
  await until(() => raw.closed, 'the older connection ends')
  expect((await until(() => due(broker), 'a push is due')).ms).toBeGreaterThan(50_000)
})

test('stopping with unacknowledged events makes their users due', async () => {
  await using broker = await startTestBroker()
  const conversation = await broker.direct('bob', 'ann')
  const raw = await subscribedRaw(broker)
  await broker.say('bob', conversation, 'hello')
  await raw.nth('publish', 2)
  await broker.stop()
  expect((await due(broker))?.seq).toBe(2)
})

test('while the database is away due pushes are tried once a second', async () => {
  vi.useFakeTimers()
  try {
    const transact = vi.fn().mockRejectedValue(new Error('away'))
    const overdue = createOverdue({
      database: { transact } as never,
      findSessions: async () => ({ present: new Set(), certain: true }),
      sessionsTold: async () => {},
      graceMs: 0,
      now: Date.now,
      pushDue: () => {},
      log: pino({ enabled: false })
    })
    overdue.add({ userId: 'ann', seq: 1, dueAt: new Date() })
    await vi.advanceTimersByTimeAsync(500)
    expect(transact).toHaveBeenCalledTimes(1)
    transact.mockResolvedValue(undefined)
    await vi.advanceTimersByTimeAsync(1_000)
    expect(transact).toHaveBeenCalledTimes(2)
  } finally {
    vi.useRealTimers()
  }
})
