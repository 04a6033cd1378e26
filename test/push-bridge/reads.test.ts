/** What a phone that was told is told again when its user reads elsewhere. */
import { expect, test } from 'vitest'
import { fcmMessage } from '../../push-bridge/fcm/message.ts'
import { renderRead } from '../../push-bridge/reads.ts'
import { unreadBadges } from '../../store/push/pending.ts'
import { payloadBytes } from '../../tools/fake-fcm/message.ts'
import { until } from '../support/until.ts'
import { createWorld, recordingSender, type RecordingSender, type World } from './world.ts'

const MINUTE = 60_000
const silent = (sender: RecordingSender) => sender.pushes.filter(push => push.body === undefined)
const rows = (world: World) =>
  world.sql<{ due_at: Date, leased_until: Date | null }>('select due_at, leased_until from push_reads')
const cleared = async (
  world: World
): Promise<void> => { await until(async () => (await rows(world)).length === 0, 'nothing is to be cleared') }
const read = (world: World, readerId: string, messageId: string) =>
  world.messaging.readReceipts.read({ readerId, messageId })

/** Ben's phone and tablet were told of one message of Ana's and two of Cleo's. */
async function told (world: World) {
  await world.phone('ben')
  await world.phone('ben', undefined, 'tablet')
  const [ana, cleo] = [await world.direct('ana', 'ben'), await world.direct('cleo', 'ben')]
  const messages = {
    ana: await world.say('ana', ana, 'one'),
    first: await world.say('cleo', cleo, 'two'),
    last: await world.say('cleo', cleo, 'three')
  }
  const sender = recordingSender()
  await world.bridge(sender)
  await world.settled()
  expect(sender.pushes.map(push => push.badge)).toEqual([3, 3, 3, 3])
  return { ana, cleo, messages, sender }
}

test('a message that a blocked sender has edited counts in no badge any more', async () => {
  await using world = await createWorld()
  const { messages } = await told(world)
  await world.sql('insert into blocks (blocker_user_id, blocked_user_id) values ($1, $2)', 'ben', 'cleo')
  await world.messaging.messageChanges.edit('cleo', messages.last.id, { content: 'worse' })
  expect(await unreadBadges(world.database.autocommit, ['ben'], new Date())).toEqual(new Map([['ben', 2]]))
})

test('reading on another device removes notifications from those that were told, and lowers the badge', async () => {
  await using world = await createWorld()
  const { ana, cleo, messages, sender } = await told(world)
  await read(world, 'ben', messages.ana.id)
  await read(world, 'ben', messages.first.id)
  expect(silent(sender)).toEqual([])
  world.skip(3_500)
  await cleared(world)
  expect(silent(sender).map(push => push.deviceId).sort()).toEqual(['phone', 'tablet'])
  const [push] = silent(sender)
  expect(push!.data).toMatchObject({
    type: 'message_read', conversation_id: cleo, up_to_seq: '1', badge: '1', epoch: world.messaging.epoch
  })
  expect(JSON.parse(push!.data.conversations!)).toEqual([
    { conversation_id: cleo, up_to_seq: 1 }, { conversation_id: ana, up_to_seq: 1 }
  ])
})

test('within 20 minutes of a silent push the next waits, and tells of all that was read', async () => {
  await using world = await createWorld()
  const { ana, cleo, messages, sender } = await told(world)
  await read(world, 'ben', messages.first.id)
  world.skip(3_500)
  await cleared(world)
  await read(world, 'ben', messages.ana.id)
  await read(world, 'ben', messages.last.id)
  world.skip(3_500)
  await until(async () => {
    const [row] = await rows(world); return row!.leased_until === null &&
    row!.due_at.getTime() > world.now() + 19 * MINUTE
  }, 'it waits')
  expect(silent(sender).length).toBe(2)
  world.skip(20 * MINUTE)
  await cleared(world)
  expect(silent(sender).length).toBe(4)
  expect(silent(sender)[3]!.data.badge).toBe('0')
  expect(JSON.parse(silent(sender)[3]!.data.conversations!)).toEqual(expect.arrayContaining([
    { conversation_id: ana, up_to_seq: 1 }, { conversation_id: cleo, up_to_seq: 2 }
  ]))
})

test('a device that has caught up by itself is left alone, and so is one that was never told', async () => {
  await using world = await createWorld()
  const { messages, sender } = await told(world)
  await world.phone('ben', undefined, 'new')
  await read(world, 'ben', messages.last.id)
  await world.messaging.acknowledgements.apply({ userId: 'ben', deviceId: 'phone', seq: 10 })
  world.skip(3_500)
  await cleared(world)
  expect(silent(sender).map(push => push.deviceId)).toEqual(['tablet'])
})

test('who reads with nothing to be removed anywhere costs no row', async () => {
  await using world = await createWorld()
  await world.phone('ben')
  const conversation = await world.direct('ana', 'ben')
  const message = await world.say('ana', conversation, 'hello')
  await world.messaging.acknowledgements.apply({ userId: 'ben', deviceId: 'phone', seq: 2 })
  await read(world, 'ben', message.id)
  expect(await rows(world)).toEqual([])
})

test('what is read while a silent push is under way is not forgotten, and a failed one is tried again', async () => {
  await using world = await createWorld()
  await world.phone('ben')
  const conversation = await world.direct('ana', 'ben')
  const first = await world.say('ana', conversation, 'one')
  const second = await world.say('ana', conversation, 'two')
  const sender = recordingSender(async push => {
    if (push.body !== undefined) return { outcome: 'ok' }
    if (silent(sender).length > 1) return { outcome: 'ok' }
    await read(world, 'ben', second.id)
    return { outcome: 'retry' }
  })
  await world.bridge(sender)
  await world.settled()
  await read(world, 'ben', first.id)
  world.skip(3_500)
  await until(async () => {
    const [row] = await rows(world); return row!.leased_until === null &&
    row!.due_at.getTime() > world.now() + 5_000
  }, 'it waits')
  world.skip(10_000)
  await cleared(world)
  expect(silent(sender).map(push => push.data.up_to_seq)).toEqual(['1', '2'])
})

test('the largest silent push stays below 4,096 bytes', () => {
  const read = Array.from({ length: 30 }, () =>
    ({ conversation_id: '0198c0de-0000-7000-8000-000000000001', up_to_seq: Number.MAX_SAFE_INTEGER }))
  const push = renderRead({
    user_id: 'x'.repeat(64), device_id: 'phone', platform: 'ios', push_token: 't', push_cleared_at: null, read
  }, 99, { epoch: read[0]!.conversation_id, expireAfterMs: 86_400_000 })
  expect(payloadBytes({ ...fcmMessage(push, Date.now()) })).toBeLessThan(4_096)
})

test('reading in a large group removes its notifications too', async () => {
  await using world = await createWorld()
  await world.phone('ben')
  const others = Array.from({ length: 40 }, (_, n) => `member-${n}`)
  const group = await world.group('Large', 'ana', 'ben', ...others)
  const message = await world.say('ana', group, 'hello')
  const sender = recordingSender()
  await world.bridge(sender)
  await world.settled()
  await read(world, 'ben', message.id)
  world.skip(3_500)
  await cleared(world)
  expect(silent(sender).map(push => push.data.conversation_id)).toEqual([group])
})
