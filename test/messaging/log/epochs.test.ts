/** How a new epoch begins: once, for all, and only when something is really gone. */
import pino from 'pino'
import { expect, test } from 'vitest'
import { createFeeds } from '../../../messaging/deliver/feeds.ts'
import { createOpenings } from '../../../messaging/deliver/openings.ts'
import { Pump } from '../../../messaging/deliver/pump.ts'
import { startSweep } from '../../../messaging/deliver/sweep.ts'
import { createTrackedSessions } from '../../../messaging/deliver/tracked-sessions.ts'
import { decodeMessage, encodeWake } from '../../../messaging/cluster/messages.ts'
import { startEpochs, type Epochs } from '../../../messaging/log/epochs.ts'
import { encodeBody } from '../../../core/events.ts'
import { startTestBroker } from '../../support/broker.ts'
import { until } from '../../support/until.ts'

const log = pino({ enabled: false })

test('a log that ends before what was sent of it begins a new epoch; nobody is left hanging', async () => {
  await using broker = await startTestBroker({ sweepMs: 100 })
  const conversation = await broker.direct('bob', 'ann')
  const phone = await broker.device('ann', { subscribe: ['user/ann/inbox'] })
  let closed = false
  phone.client.on('close', () => { closed = true })
  for (const text of ['one', 'two', 'three']) await broker.say('bob', conversation, text)
  await until(() => phone.events.length === 4, 'all came')
  const before = broker.messaging.epoch
  // As a restored backup would have it.
  await broker.sql("delete from inbox_events where user_id = 'ann' and seq > 2")
  await broker.sql("update users set inbox_seq = 2, acked_seq = least(acked_seq, 2) where id = 'ann'")
  await broker.sql("update devices set acked_seq = 2 where user_id = 'ann'")
  await until(() => closed, 'the device is disconnected')
  expect(broker.messaging.epoch).not.toBe(before)
  await broker.say('bob', conversation, 'four')
  // A broker that has not heard of the epoch yet goes on taking acknowledgements.
  await broker.sql("update devices set last_seen_at = now() + interval '1 minute' where user_id = 'ann'")
  const again = await broker.device('ann')
  await until(() => again.events.some(event => event.type === 'new_message'), 'it gets what is new')
  expect(again.events.map(({ seq, type, epoch }) => [seq, type, epoch])).toEqual([
    [3, 'new_message', broker.messaging.epoch], [4, 'resync_required', broker.messaging.epoch]
  ])
})

test('of several processes that see a loss one begins the epoch, and the others follow', async () => {
  await using broker = await startTestBroker()
  await broker.direct('bob', 'ann')
  const { database, epoch } = broker.messaging
  const start = (): Promise<Epochs> => startEpochs({ database, log, lookEveryMs: 20 })
  await using one = await start()
  await using two = await start()
  await using third = await start()
  let heard = 0
  for (const epochs of [one, two, third]) epochs.onNew(() => { heard++ })
  one.suspect({ userId: 'ann', seq: 100 }, epoch)
  two.suspect({ userId: 'ann', seq: 101 }, epoch)
  await until(() => heard === 3, 'all have heard')
  const current = one.current()
  expect(current).not.toBe(epoch)
  expect([two.current(), third.current()]).toEqual([current, current])
  expect(await broker.sql('select epoch from meta')).toEqual([{ epoch: current }])
})

test('a suspicion that does not hold begins nothing', async () => {
  await using broker = await startTestBroker()
  await broker.direct('bob', 'ann')
  await using epochs = await startEpochs({ database: broker.messaging.database, log, lookEveryMs: 20 })
  const before = epochs.current()
  epochs.suspect({ userId: 'ann', seq: 1 }, before)
  epochs.suspect({ userId: 'nobody', seq: 7 }, before)
  await epochs[Symbol.asyncDispose]() // which waits for the look
  expect(await broker.sql('select epoch from meta')).toEqual([{ epoch: before }])
})

const pumpOf = (epoch: string, deviceId: string, readLog = async (): Promise<never[]> => []) => {
  const written: number[] = []
  const pump = new Pump({
    epoch,
    userId: 'ann',
    deviceId,
    connection: {
      write (events) {
        written.push(...events.map(({ seq }) => seq))
        return true
      }
    },
    readLog,
    onAcknowledged () {},
    tracked: true,
    now: () => performance.now()
  })
  return { userId: 'ann', deviceId, pump, watched: false, written, disconnect () {} }
}

test('a session of an earlier epoch that is not closed yet makes nobody suspect the new one', async () => {
  await using broker = await startTestBroker()
  await broker.direct('bob', 'ann')
  const sessions = createTrackedSessions()
  let swept = false
  const old = pumpOf('old', 'phone')
  const fresh = pumpOf('new', 'tablet', async () => {
    swept = true
    return []
  })
  old.pump.start(100, 100)
  fresh.pump.start(0, 0)
  for (const session of [old, fresh]) sessions.add(session)
  const tooShort: unknown[] = []
  await using sweep = startSweep({
    sessions,
    feeds: { of: () => [], all: () => [] },
    database: broker.messaging.database,
    epoch: () => 'new',
    overdue: broker.messaging.overdue,
    tooShort: (...what) => { tooShort.push(what) },
    graceMs: 60_000,
    sweepMs: 100,
    log,
    now: Date.now
  })
  await until(() => swept, 'the sweep has told the fresh one of its log')
  await sweep[Symbol.asyncDispose]()
  expect(tooShort).toEqual([])
})

test('what was seen in an earlier epoch begins no other one', async () => {
  await using broker = await startTestBroker()
  await broker.direct('bob', 'ann')
  await using epochs = await startEpochs({ database: broker.messaging.database, log, lookEveryMs: 20 })
  const before = epochs.current()
  epochs.suspect({ userId: 'ann', seq: 100 }, 'an earlier one')
  await epochs[Symbol.asyncDispose]()
  expect(await broker.sql('select epoch from meta')).toEqual([{ epoch: before }])
})

test('a pump reads what a wake carries from another epoch in the log', async () => {
  const { pump, written } = pumpOf('new', 'phone', async () => [{ seq: 1, body: bodyOf('new') }] as never)
  const bodyOf = (epoch: string) => encodeBody(epoch, 'resync_required', {})
  pump.start(0, 0)
  pump.wake([{ userId: 'ann', seq: 1, body: bodyOf('old') }])
  expect(written).toEqual([])
  await until(() => written.length === 1, 'it came from the log')
  pump.wake([{ userId: 'ann', seq: 2, body: bodyOf('new') }])
  expect(written).toEqual([1, 2])
})

test('nodes tell each other in which epoch an event was rendered', () => {
  const sent = { userId: 'ann', seq: 1, body: encodeBody('one', 'resync_required', {}) }
  const wake = decodeMessage(encodeWake([sent], 'a'))
  expect(wake.kind === 'wake' && wake.events[0]?.body?.epoch).toBe('one')
  // As a node of an earlier version writes it.
  const earlier = JSON.parse(encodeWake([sent], 'a'))
  delete earlier.epoch
  const heard = decodeMessage(JSON.stringify(earlier))
  expect(heard.kind === 'wake' && heard.events[0]).toMatchObject({ seq: 1, body: undefined })
})

test('a device whose place was read in an epoch that has ended meanwhile gets it read again', async () => {
  await using broker = await startTestBroker()
  await broker.direct('bob', 'ann')
  let epoch = 'one'
  const told: string[] = []
  const openings = createOpenings({
    database: broker.messaging.database,
    epoch: () => epoch,
    acknowledgements: { settled: async () => {} },
    async tellResync () {
      told.push(epoch)
      epoch = 'two'
    }
  })
  const opened = await openings.open({ userId: 'ann', deviceId: 'phone', clean: false }, () => true)
  expect(told).toEqual(['one', 'two'])
  expect(opened?.start).toMatchObject({ inbox_seq: 1 })
})

test('a feed whose place was read in an epoch that has ended meanwhile takes a new snapshot', async () => {
  await using broker = await startTestBroker()
  await broker.direct('bob', 'ann')
  const { connections, wakes, inboxLog } = broker.messaging
  let epoch = 'one'
  const feeds = createFeeds({
    connections,
    wakes,
    openings: {
      async locate () {
        epoch = 'two'
        return { inbox_seq: 1, acked_seq: 0, cursor: null }
      }
    },
    epoch: () => epoch,
    readLog: inboxLog.after,
    now: Date.now
  })
  await expect(feeds.open({
    door: 'sse',
    identity: { userId: 'ann', admin: false, issuedAt: 0, expiresAt: 1, name: undefined, acl: undefined },
    deviceId: 'browser',
    reader: { write: () => true, end () {} }
  })).rejects.toMatchObject({ code: 'resync_required' })
  expect([...feeds.all()]).toEqual([])
})
