/** What FCM's refusals do to rows and tokens, through the real firebase-admin and a stand-in. */
import { expect, test } from 'vitest'
import { startFcmSender } from '../../push-bridge/fcm/sender.ts'
import { type PushBridge } from '../../push-bridge/start.ts'
import { startFakeFcm } from '../../tools/fake-fcm/server.ts'
import { until } from '../support/until.ts'
import { createWorld, recordingSender } from './world.ts'

test('while credentials are broken every row is kept and the bridge says so; then all are told', async () => {
  await using fcm = await startFakeFcm()
  await using sender = await startFcmSender({ endpoint: fcm.url })
  await using world = await createWorld()
  for (const user of ['ben', 'cleo']) await world.phone(user, user)
  const group = await world.group('Team', 'ana', 'ben', 'cleo')
  fcm.react(() => ({ error: 'UNAUTHENTICATED' }))
  const bridge = await world.bridge(sender) as PushBridge
  await world.say('ana', group, 'hello')
  await until(
    async () => (await world.due('ben'))?.leased_until === null && !bridge.health().ok, 'the bridge is closed'
  )
  expect(bridge.health().detail).toContain('FCM answers 401')
  expect(fcm.requests()).toBe(2)
  // Nothing more is tried before its time, however much comes.
  await world.say('ana', group, 'again')
  await until(async () => Number((await world.due('ben'))?.seq) === 3, 'the row moved')
  expect(fcm.requests()).toBe(2)
  fcm.react(() => undefined)
  world.skip(65_000)
  await world.settled()
  expect(fcm.pushes.map(push => push.token).sort()).toEqual(['ben', 'cleo'])
  expect(bridge.health()).toEqual({ ok: true })
})

test('a 429 is waited for, then the push comes once', async () => {
  await using fcm = await startFakeFcm()
  await using sender = await startFcmSender({ endpoint: fcm.url })
  await using world = await createWorld()
  await world.phone('ben', 'ben')
  fcm.react((_, nth) => nth === 1 ? { error: 'QUOTA_EXCEEDED', retryAfter: '90' } : undefined)
  await world.bridge(sender)
  await world.say('ana', await world.direct('ana', 'ben'), 'hello')
  await until(async () => (await world.due('ben'))!.leased_until === null &&
    (await world.due('ben'))!.due_at.getTime() > world.now() + 80_000, 'it waits')
  world.skip(91_000)
  await world.settled()
  expect(fcm.pushes.length).toBe(1)
})

test('a token FCM calls invalid is forgotten only when another device took the same push', async () => {
  await using fcm = await startFakeFcm()
  await using sender = await startFcmSender({ endpoint: fcm.url })
  await using world = await createWorld()
  await world.phone('ben', 'broken')
  await world.phone('ben', 'fine', 'tablet')
  await world.phone('cleo', 'broken-too')
  fcm.react(token => token.startsWith('broken') ? { error: 'INVALID_ARGUMENT' } : undefined)
  await world.bridge(sender)
  await world.say('ana', await world.direct('ana', 'cleo'), 'hello')
  await world.say('ana', await world.direct('ana', 'ben'), 'hello')
  await world.settled()
  expect(await world.sql('select push_token from devices where push_token is not null order by push_token'))
    .toEqual([{ push_token: 'broken-too' }, { push_token: 'fine' }])
})

test('a wrong project costs no token, in batches of one neither', async () => {
  await using fcm = await startFakeFcm()
  await using sender = await startFcmSender({ endpoint: fcm.url })
  await using world = await createWorld()
  fcm.react(() => ({ error: 'UNREGISTERED' }))
  const bridge =
    await world.bridge(sender, { options: { usersPerBatch: 1, batchesInFlight: 1 } }) as PushBridge
  for (let i = 0; i < 12; i++) {
    await world.phone(`user-${i}`, `token-${i}`)
    await world.say('ana', await world.direct('ana', `user-${i}`), 'hello')
  }
  await until(() => !bridge.health().ok, 'it is noticed')
  expect(bridge.health().detail).toContain('project')
  expect(await world.sql('select from devices where push_token is not null')).toHaveLength(12)
  expect(world.logged.filter(line => line.level === 50)).toHaveLength(1)
  fcm.react(() => undefined)
  world.skip(60_000)
  await world.settled()
  expect(new Set(fcm.pushes.map(push => push.token)).size).toBe(12)
})

test('what is more than a device may get waits, merges, and comes once', async () => {
  await using world = await createWorld()
  await world.phone('ben')
  const conversations: string[] = []
  for (let i = 0; i < 20; i++) {
    conversations.push(await world.direct(`user-${i}`, 'ben'))
    await world.say(`user-${i}`, conversations[i]!, `hello ${i}`)
  }
  const sender = recordingSender()
  await world.bridge(sender)
  await until(() => sender.pushes.length === 18, 'the burst is out')
  await world.say('user-19', conversations[19]!, 'and more')
  await until(async () => (await world.due('ben'))?.leased_until === null, 'the rest waits')
  world.skip(191_000)
  await until(() => sender.pushes.length === 19, 'one more comes')
  world.skip(191_000)
  await world.settled()
  expect(sender.bodies().slice(18)).toEqual(['hello 18', '2 new messages: and more'])
})
