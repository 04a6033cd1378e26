/** Who is told of what, and when. */
import { expect, test } from 'vitest'
import { type TrackedSession } from '../../messaging/deliver/tracked-sessions.ts'
import { until } from '../support/until.ts'
import { after, createWorld, recordingSender } from './world.ts'

test('a message to a sleeping user becomes one push, at once', async () => {
  await using world = await createWorld()
  const token = await world.phone('ben')
  const conversation = await world.direct('ana', 'ben')
  const sender = recordingSender()
  // Only the hint can be so quick.
  await world.bridge(sender, { options: { pollMs: 60_000 } })
  const message = await world.say('ana', conversation, 'hello')
  await world.settled()
  expect(sender.pushes).toMatchObject([{
    userId: 'ben',
    deviceId: 'phone',
    platform: 'android',
    token,
    title: 'Ana',
    body: 'hello',
    data: {
      type: 'new_message',
      message_id: message.id,
      conversation_id: conversation,
      seq: '2',
      epoch: world.messaging.epoch
    },
    conversationTag: conversation,
    collapseId: message.id
  }])
})

test('rows that another process wrote are found without a hint', async () => {
  await using world = await createWorld()
  await world.phone('ben')
  const conversation = await world.direct('ana', 'ben')
  const sender = recordingSender()
  await world.bridge(sender, { onPushDue: undefined })
  await world.say('ana', conversation, 'hello')
  await world.settled()
  expect(sender.bodies()).toEqual(['hello'])
})

test('what was acknowledged is not pushed, what came after it is', async () => {
  await using world = await createWorld()
  await world.phone('ben')
  const conversation = await world.direct('ana', 'ben')
  await world.say('ana', conversation, 'seen')
  await world.messaging.acknowledgements.apply({ userId: 'ben', deviceId: 'tablet', seq: 2 })
  expect(await world.due('ben')).toBeUndefined()
  await world.say('ana', conversation, 'not seen')
  const sender = recordingSender()
  await world.bridge(sender)
  await world.settled()
  expect(sender.bodies()).toEqual(['not seen'])
})

test('an acknowledgement between claim and sending cancels', async () => {
  await using world = await createWorld()
  await world.phone('ben')
  await world.phone('cleo')
  const group = await world.group('Team', 'ana', 'ben', 'cleo')
  await world.say('ana', group, 'hello')
  const sender = recordingSender()
  let acknowledged = false
  const database = after(world.database, 'push_due_claim', async () => {
    if (acknowledged) return
    acknowledged = true
    await world.messaging.acknowledgements.apply({ userId: 'ben', deviceId: undefined, seq: 2 })
  })
  await world.bridge(sender, { database })
  await world.settled()
  expect(sender.pushes.map(push => push.userId)).toEqual(['cleo'])
})

test('a claim that was cancelled leaves the next message to the one that claims it', async () => {
  await using world = await createWorld()
  await world.phone('ben')
  const conversation = await world.direct('ana', 'ben')
  await world.say('ana', conversation, 'seen')
  const doneBatches = () => world.logged.filter(line => line.msg === 'a batch of pushes is done').length
  const first = recordingSender()
  // Answers only after the first bridge is done with what it had claimed.
  const second = recordingSender(async () => {
    await until(() => doneBatches() === 1, 'the first bridge is done')
    return { outcome: 'ok' }
  })
  let changed = false
  const database = after(world.database, 'push_due_claim', async () => {
    if (changed) return
    changed = true
    await world.messaging.acknowledgements.apply({ userId: 'ben', deviceId: undefined, seq: 2 })
    await world.say('ana', conversation, 'not seen')
    await world.bridge(second)
    await until(() => second.pushes.length === 1, 'the second bridge sends')
  })
  await world.bridge(first, { database })
  await until(() => doneBatches() === 2, 'both bridges are done')
  expect(first.bodies()).toEqual([])
  expect(second.bodies()).toEqual(['not seen'])
})

test('only devices with a token are told', async () => {
  await using world = await createWorld()
  const first = await world.phone('ben')
  const second = await world.phone('ben', undefined, 'tablet')
  await world.messaging.acknowledgements.apply({ userId: 'ben', deviceId: 'no-token', seq: 0 })
  const conversation = await world.direct('ana', 'ben')
  const unreachable = await world.direct('ana', 'without-devices')
  const sender = recordingSender()
  await world.bridge(sender)
  await world.say('ana', unreachable, 'hello')
  await world.say('ana', conversation, 'hello')
  await world.settled()
  expect(sender.pushes.map(push => push.token).sort()).toEqual([first, second].sort())
})

test('each conversation is one push, with its newest message and the count', async () => {
  await using world = await createWorld()
  await world.phone('ben')
  const conversation = await world.direct('ana', 'ben')
  const group = await world.group('Team', 'cleo', 'ben')
  await world.say('ana', conversation, 'one')
  await world.say('cleo', group, 'other')
  await world.say('ana', conversation, 'two')
  const sender = recordingSender()
  await world.bridge(sender)
  await world.settled()
  expect(sender.pushes.map(({ title, body }) => ({ title, body }))).toEqual([
    { title: 'Team: Cleo', body: 'other' },
    { title: 'Ana', body: '2 new messages: two' }
  ])
})

test('what follows within 3 s of a push is merged into one', async () => {
  await using world = await createWorld()
  await world.phone('ben')
  const conversation = await world.direct('ana', 'ben')
  const sender = recordingSender()
  await world.bridge(sender)
  await world.say('ana', conversation, 'one')
  await world.settled()
  const [device] =
    await world.sql<{ pushed_at: Date }>('select pushed_at from devices where user_id = $1', 'ben')
  await world.say('ana', conversation, 'two')
  const quietAt = device!.pushed_at.getTime() + 3_000
  await until(async () =>
    (await world.due('ben'))?.due_at.getTime() === quietAt, 'the row waits until 3 s after the push')
  await world.say('ana', conversation, 'three')
  // The next message does not end the wait.
  expect(await world.due('ben')).toMatchObject({ due_at: new Date(quietAt), leased_until: null })
  expect(sender.bodies()).toEqual(['one'])
  world.skip(3_000)
  await world.settled()
  expect(sender.bodies()).toEqual(['one', '2 new messages: three'])
})

test('a device registered now is told of what comes from then on, and does not wait for one that was told', async () => {
  await using world = await createWorld()
  await world.phone('ben')
  const conversation = await world.direct('ana', 'ben')
  const sender = recordingSender()
  await world.bridge(sender)
  await world.say('ana', conversation, 'one')
  await world.settled()
  await world.phone('ben', undefined, 'tablet')
  await world.say('ana', conversation, 'two')
  await until(() => sender.pushes.length === 2, 'the tablet is told')
  expect(sender.pushes[1]).toMatchObject({ deviceId: 'tablet', body: 'two' })
  world.skip(3_000)
  await world.settled()
  expect(sender.pushes.slice(2)).toMatchObject([{ deviceId: 'phone', body: 'two' }])
})

test('a mute holds back everything but mentions, for good', async () => {
  await using world = await createWorld()
  await world.phone('ben')
  const group = await world.group('Team', 'ana', 'ben')
  const mute = (until: Date) =>
    world.sql('update conversation_participants set muted_until = $1 where user_id = $2', until, 'ben')
  await mute(new Date(world.now() + 3_600_000))
  const sender = recordingSender()
  await world.bridge(sender, { options: { mergeMs: 0 } })
  await world.say('ana', group, 'quiet')
  await world.settled()
  await world.say('ana', group, '@cleo', { mentions: [{ user_id: 'cleo', offset: 0, length: 5 }] })
  await world.settled()
  expect(sender.bodies()).toEqual([])
  await world.say('ana', group, '@ben', { mentions: [{ user_id: 'ben', offset: 0, length: 4 }] })
  await world.settled()
  await world.say('ana', group, 'quiet again')
  await world.settled()
  await mute(new Date(world.now() - 1))
  await world.say('ana', group, 'loud')
  await world.settled()
  expect(sender.bodies()).toEqual(['@ben', 'loud'])
})

test('a conversation one left, a deleted message and one that was read are not pushed', async () => {
  await using world = await createWorld()
  for (const user of ['ben', 'cleo', 'dan']) await world.phone(user)
  const group = await world.group('Team', 'ana', 'ben', 'cleo', 'dan')
  const secret = await world.say('ana', group, 'deleted')
  await world.messaging.messageChanges.delete('ana', secret.id)
  const read = await world.say('ana', group, 'hello')
  await world.messaging.conversations.removeParticipant('ben', group, 'ben')
  await world.messaging.readReceipts.read({ readerId: 'cleo', messageId: read.id })
  const sender = recordingSender()
  await world.bridge(sender)
  await world.settled()
  expect(sender.pushes).toMatchObject([{ userId: 'dan', body: 'hello' }])
})

test('a blocked user reaches a group, but wakes no member who blocked them', async () => {
  await using world = await createWorld()
  await world.phone('ben')
  await world.phone('cleo')
  const group = await world.group('Team', 'ana', 'ben', 'cleo')
  await world.sql('insert into blocks (blocker_user_id, blocked_user_id) values ($1, $2)', 'ben', 'ana')
  const sender = recordingSender()
  await world.bridge(sender)
  await world.say('ana', group, 'hello')
  await world.settled()
  expect(sender.pushes.map(push => push.userId)).toEqual(['cleo'])
})

test('what is older than a day is not pushed', async () => {
  await using world = await createWorld()
  await world.phone('ben')
  const conversation = await world.direct('ana', 'ben')
  await world.say('ana', conversation, 'hello')
  world.skip(24 * 3_600_000)
  const sender = recordingSender()
  await world.bridge(sender)
  await world.settled()
  expect(sender.pushes).toEqual([])
})

test('a session that ends while its message is being committed is a sleeping phone', async () => {
  await using world = await createWorld()
  await world.phone('ben')
  const conversation = await world.direct('ana', 'ben')
  const session = {
    userId: 'ben',
    deviceId: 'phone',
    pump: { takeOverdue: () => false, learn: () => {} },
    disconnect: () => {}
  } as unknown as TrackedSession
  const { trackedSessions: sessions } = world.messaging
  sessions.add(session)
  const has = sessions.has
  // Gone as soon as it was asked for: between that and the commit.
  sessions.has = userId => {
    const answer = has(userId)
    if (userId === 'ben') sessions.remove(session)
    return answer
  }
  const sender = recordingSender()
  await world.bridge(sender)
  await world.say('ana', conversation, 'hello')
  await until(() => sender.pushes.length === 1, 'the phone is told')
})

test('a phone with a session is not woken before the grace period is over', async () => {
  await using world = await createWorld()
  await world.phone('ben')
  const conversation = await world.direct('ana', 'ben')
  const session = {
    userId: 'ben',
    deviceId: 'phone',
    pump: { takeOverdue: () => false, learn: () => {} },
    disconnect: () => {}
  } as unknown as TrackedSession
  world.messaging.trackedSessions.add(session)
  await world.say('ana', conversation, 'hello')
  expect(await world.due('ben')).toBeUndefined()
  world.messaging.trackedSessions.remove(session)
})
