/** What the bridge does when a push or a device fails. */
import { expect, test } from 'vitest'
import { type PushResult } from '../../push-bridge/sender.ts'
import { until } from '../support/until.ts'
import { createWorld, recordingSender, type World } from './world.ts'

/** Waits until the row lies free in the future; until when, as the bridge sees it. */
const postponedTo = async (world: World, userId: string): Promise<number> => {
  const row = await until(async () => {
    const row = await world.due(userId)
    return row !== undefined && row.leased_until === null && row.due_at.getTime() > world.now() && row
  }, 'the row is postponed')
  return row.due_at.getTime()
}

test('a push that fails is tried again, each time after twice as long', async () => {
  await using world = await createWorld()
  await world.phone('ben')
  const conversation = await world.direct('ana', 'ben')
  let triedAt = 0
  const sender = recordingSender((push, nth) => {
    triedAt = world.now()
    return { outcome: nth <= 2 ? 'retry' : 'ok' }
  })
  await world.bridge(sender)
  await world.say('ana', conversation, 'hello')
  expect(await postponedTo(world, 'ben')).toBeGreaterThanOrEqual(triedAt + 10_000)
  world.skip(10_000)
  await until(() => sender.pushes.length === 2, 'it is tried again')
  expect(await postponedTo(world, 'ben')).toBeGreaterThanOrEqual(triedAt + 20_000)
  world.skip(20_000)
  await world.settled()
  expect(sender.bodies()).toEqual(['hello', 'hello', 'hello'])
})

test('what went well leaves no backoff behind', async () => {
  await using world = await createWorld()
  await world.phone('ben')
  const conversation = await world.direct('ana', 'ben')
  let result: PushResult = { outcome: 'ok' }
  const sender = recordingSender(() => result)
  await world.bridge(sender)
  await world.say('ana', conversation, 'first')
  await world.settled()
  for (let i = 0; i < 6; i++) {
    await world.say('ana', conversation, `merged ${i}`)
    await until(async () => (await world.due('ben'))?.leased_until === null, 'the row waits for the merge')
    expect((await world.due('ben'))!.attempts).toBeLessThanOrEqual(1)
    world.skip(3_000)
    await world.settled()
  }
  world.skip(3_000)
  result = { outcome: 'retry' }
  await world.say('ana', conversation, 'last')
  expect(await postponedTo(world, 'ben')).toBeLessThanOrEqual(world.now() + 10_000)
})

test('a time that the push service names is waited for', async () => {
  await using world = await createWorld()
  await world.phone('ben')
  const conversation = await world.direct('ana', 'ben')
  await world.bridge(recordingSender(() => ({ outcome: 'retry', afterMs: 120_000 })))
  const saidAt = world.now()
  await world.say('ana', conversation, 'hello')
  expect(await postponedTo(world, 'ben')).toBeGreaterThanOrEqual(saidAt + 120_000)
  // Something new may be for another device, which works.
  await world.say('ana', conversation, 'news')
  expect(await postponedTo(world, 'ben')).toBeLessThanOrEqual(world.now() + 60_000)
})

test('a sender that throws, hangs or answers too little loses nothing', async () => {
  await using world = await createWorld()
  await world.phone('ben')
  const conversation = await world.direct('ana', 'ben')
  const working = recordingSender()
  const answers: Array<() => Promise<PushResult[]>> = [
    () => { throw new Error('no network') },
    () => Promise.reject(new Error('no network')),
    () => new Promise(() => {}),
    () => Promise.resolve([])
  ]
  await world.bridge({
    send: async pushes => await (answers.shift()?.() ?? working.send(pushes))
  }, { options: { sendTimeoutMs: 50 } })
  await world.say('ana', conversation, 'hello')
  await until(async () => {
    const row = await world.due('ben')
    if (row?.leased_until === null && row.due_at.getTime() > world.now()) {
      world.skip(row.due_at.getTime() - world.now())
    }
    return working.pushes.length > 0
  }, 'the working sender has its turn')
  await world.settled()
  expect(working.bodies()).toEqual(['hello'])
})

test('a rejected push is given up and said in the log', async () => {
  await using world = await createWorld()
  await world.phone('ben')
  const conversation = await world.direct('ana', 'ben')
  const sender = recordingSender(() => ({ outcome: 'rejected', reason: 'invalid payload' }))
  await world.bridge(sender)
  await world.say('ana', conversation, 'hello')
  await world.settled()
  expect(sender.pushes.length).toBe(1)
  expect(world.logged.find(line => line.msg === 'a push was rejected')).toMatchObject({
    user_id: 'ben', reason: 'invalid payload'
  })
})

test('the token of a gone app is forgotten, the other device is told', async () => {
  await using world = await createWorld()
  const gone = await world.phone('ben')
  const other = await world.phone('ben', undefined, 'tablet')
  const conversation = await world.direct('ana', 'ben')
  const sender = recordingSender(push => ({ outcome: push.token === gone ? 'token_gone' : 'ok' }))
  await world.bridge(sender)
  await world.say('ana', conversation, 'hello')
  await world.settled()
  expect(sender.pushes.length).toBe(2)
  expect(
    await world.sql('select device_id, push_token from devices where user_id = $1 order by device_id', 'ben')
  )
    .toEqual([{ device_id: 'phone', push_token: null }, { device_id: 'tablet', push_token: other }])
})

test('a token that was renewed while the old one was tried is kept, and told', async () => {
  await using world = await createWorld()
  await world.phone('ben', 'old')
  await world.phone('ben', 'other', 'tablet')
  const conversation = await world.direct('ana', 'ben')
  const sender = recordingSender(async push => {
    if (push.token !== 'old') return { outcome: 'ok' }
    await world.phone('ben', 'new')
    return { outcome: 'token_gone' }
  })
  await world.bridge(sender)
  await world.say('ana', conversation, 'hello')
  await world.settled()
  expect(sender.pushes.map(push => push.token)).toEqual(['old', 'other', 'new'])
  expect(await world.sql('select push_token from devices where device_id = $1', 'phone')).toEqual([
    { push_token: 'new' }
  ])
})

test('a push service that knows no token at all makes the bridge forget none', async () => {
  await using world = await createWorld()
  const users = Array.from({ length: 12 }, (_, i) => `user-${i}`)
  for (const user of users) await world.phone(user)
  const group = await world.group('Team', 'ana', ...users)
  await world.say('ana', group, 'hello')
  await world.bridge(recordingSender(() => ({ outcome: 'token_gone' })))
  for (const user of users) await postponedTo(world, user)
  expect(await world.sql('select 1 from devices where push_token is not null')).toHaveLength(12)
  expect(world.logged.some(line => line.level === 50)).toBe(true)
})

test('one conversation that fails does not repeat the others', async () => {
  await using world = await createWorld()
  await world.phone('ben')
  const [failing, working] = [await world.direct('ana', 'ben'), await world.direct('cleo', 'ben')]
  await world.say('cleo', working, 'before')
  await world.say('ana', failing, 'failing')
  await world.say('cleo', working, 'after')
  let failed = false
  const sender = recordingSender(push => {
    if (push.conversationTag !== failing || failed) return { outcome: 'ok' }
    failed = true
    return { outcome: 'retry' }
  })
  await world.bridge(sender)
  await postponedTo(world, 'ben')
  world.skip(10_000)
  await world.settled()
  expect(sender.bodies()).toEqual(['failing', '2 new messages: after', 'failing'])
})

test('a message that arrives while another is being sent is pushed too', async () => {
  await using world = await createWorld()
  await world.phone('ben')
  const conversation = await world.direct('ana', 'ben')
  const sender = recordingSender(async (push, nth) => {
    if (nth === 1) await world.say('ana', conversation, 'meanwhile')
    return { outcome: 'ok' }
  })
  await world.bridge(sender)
  await world.say('ana', conversation, 'hello')
  await until(async () => (await world.due('ben'))?.leased_until === null, 'the first push is done')
  world.skip(3_000)
  await world.settled()
  expect(sender.bodies()).toEqual(['hello', 'meanwhile'])
})
