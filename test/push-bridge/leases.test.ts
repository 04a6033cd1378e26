/**
 * Several bridges, bridges that crash or are closed, and a database that goes away: leases keep every push.
 */
import { expect, test } from 'vitest'
import { unavailable } from '../../core/errors.ts'
import { claimPushes } from '../../store/push/due.ts'
import { until } from '../support/until.ts'
import { after, createAnswer, createWorld, recordingSender } from './world.ts'

test('what a crashed bridge had claimed is sent when its lease has run out', async () => {
  await using world = await createWorld()
  await world.phone('ben')
  await world.phone('cleo')
  const conversation = await world.direct('ana', 'ben')
  await world.say('ana', conversation, 'hello')
  const claimed =
    await claimPushes(world.database.autocommit, new Date(world.now()), new Date(world.now() + 30_000), 10)
  expect(claimed).toMatchObject([{ user_id: 'ben', attempts: 1 }])
  const sender = recordingSender()
  await world.bridge(sender)
  await world.say('ana', await world.direct('ana', 'cleo'), 'later')
  await until(() => sender.pushes.length === 1, 'the bridge works')
  expect(sender.pushes[0]!.userId).toBe('cleo')
  await until(async () =>
    await world.due('cleo') === undefined, 'that is written down, before its lease would run out too')
  world.skip(30_000)
  await world.settled()
  expect(sender.pushes.map(push => push.userId)).toEqual(['cleo', 'ben'])
})

test('a bridge whose lease ran out does not touch what the next one has claimed', async () => {
  await using world = await createWorld()
  await world.phone('ben')
  const conversation = await world.direct('ana', 'ben')
  const answer = createAnswer()
  const slow = recordingSender(() => answer.promise)
  const slowBridge = await world.bridge(slow)
  await world.say('ana', conversation, 'hello')
  await until(() => slow.pushes.length === 1, 'the slow bridge sends')
  const next = await claimPushes(
    world.database.autocommit, new Date(world.now() + 60_001), new Date(world.now() + 120_000), 10
  )
  expect(next).toMatchObject([{ user_id: 'ben', attempts: 2 }])
  answer.resolve({ outcome: 'retry' })
  await slowBridge[Symbol.asyncDispose]()
  expect(await world.due('ben')).toMatchObject({ attempts: 2, leased_until: expect.any(Date) })
})

test('two bridges send to each of 200 users once', async () => {
  await using world = await createWorld()
  const users = Array.from({ length: 200 }, (_, i) => `user-${i}`)
  for (const user of users) await world.phone(user)
  const group = await world.group('Team', 'ana', ...users)
  const senders = [recordingSender(), recordingSender()]
  const options = { usersPerBatch: 7 }
  await world.bridge(senders[0]!, { options })
  await world.bridge(senders[1]!, { options })
  await world.say('ana', group, 'hello')
  await world.settled()
  const told = senders.flatMap(sender => sender.pushes.map(push => push.userId))
  expect(told.sort()).toEqual(users.sort())
  for (const sender of senders) expect(sender.pushes.length).toBeGreaterThan(0)
})

test('a start finds the users that a crashed node was watching, and tells them once', async () => {
  await using world = await createWorld()
  await world.phone('ben')
  await world.phone('cleo')
  const group = await world.group('Team', 'ana', 'ben', 'cleo')
  await world.say('ana', group, 'hello')
  await world.messaging.acknowledgements.apply({ userId: 'cleo', deviceId: undefined, seq: 2 })
  await world.sql('delete from push_due')
  const sender = recordingSender()
  const startedAt = world.now()
  const first = await world.bridge(sender)
  await until(() => world.due('ben'), 'ben is found')
  expect((await world.due('ben'))!.due_at.getTime()).toBeGreaterThan(startedAt + 5_000)
  expect(await world.due('cleo')).toBeUndefined()
  world.skip(10_000)
  await world.settled()
  expect(sender.pushes).toMatchObject([{ userId: 'ben', body: 'hello' }])
  await first[Symbol.asyncDispose]()
  await world.bridge(sender)
  expect(await world.due('ben')).toBeUndefined()
})

test('a database that goes away delays pushes and repeats none', async () => {
  await using world = await createWorld()
  await world.phone('ben')
  const conversation = await world.direct('ana', 'ben')
  await world.say('ana', conversation, 'hello')
  let claims = 0
  let writes = 0
  const away =
    after(world.database, 'push_due_claim', async () => { if (++claims === 1) throw unavailable('away') })
  const sender = recordingSender()
  await world.bridge(sender, {
    database: {
      ...away,
      transact: async work => {
        return await world.database.transact(tx => work({
          orm: tx.orm,
          rows: async (statement, values) => {
            if (statement.name === 'push_due_record' && ++writes === 1) throw unavailable('away')
            return await tx.rows(statement, values)
          }
        }))
      }
    },
    options: { leaseMs: 3_000 }
  })
  await world.settled()
  expect(writes).toBe(2)
  expect(sender.bodies()).toEqual(['hello'])
})

test('closing waits for what is in flight, and not for ever', async () => {
  await using world = await createWorld()
  await world.phone('ben')
  const conversation = await world.direct('ana', 'ben')
  const answer = createAnswer()
  const sender = recordingSender(() => answer.promise)
  const bridge = await world.bridge(sender)
  await world.say('ana', conversation, 'hello')
  await until(() => sender.pushes.length === 1, 'it is being sent')
  const closed = bridge[Symbol.asyncDispose]()
  answer.resolve({ outcome: 'ok' })
  await closed
  expect(await world.due('ben')).toBeUndefined()

  world.skip(3_000)
  const hanging = recordingSender(() => new Promise(() => {}))
  const stuck = await world.bridge(hanging, { options: { closeWithinMs: 50 } })
  await world.say('ana', conversation, 'again')
  await until(() => hanging.pushes.length === 1, 'it is being sent')
  await stuck[Symbol.asyncDispose]()
  expect((await world.due('ben'))!.leased_until).not.toBeNull()
})
