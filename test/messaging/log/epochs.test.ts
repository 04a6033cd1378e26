/** How a new epoch begins: once, for all, and only when something is really gone. */
import pino from 'pino'
import { expect, test } from 'vitest'
import { startEpochs, type Epochs } from '../../../messaging/log/epochs.ts'
import { startTestBroker } from '../../support/broker.ts'
import { until } from '../../support/until.ts'

const log = pino({ enabled: false })

test('a log that ends before what was sent of it begins a new epoch; nobody is left hanging', {
  timeout: 30_000
}, async () => {
  await using broker = await startTestBroker()
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
  await until(() => closed, 'the device is disconnected', 15_000)
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
  one.suspect({ userId: 'ann', seq: 100 })
  two.suspect({ userId: 'ann', seq: 101 })
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
  epochs.suspect({ userId: 'ann', seq: 1 })
  epochs.suspect({ userId: 'nobody', seq: 7 })
  await epochs[Symbol.asyncDispose]() // which waits for the look
  expect(await broker.sql('select epoch from meta')).toEqual([{ epoch: before }])
})
