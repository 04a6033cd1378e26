import { expect, test } from 'vitest'
import { blocks, users } from '../../../migrations/schema.ts'
import { AppError } from '../../../core/errors.ts'
import { createDatabase } from '../../support/database.ts'
import { until } from '../../support/until.ts'
import { befriend, OFFLINE_AFTER_MS, startAlone, startNode } from '../cluster/nodes.ts'

const states = (heard: any[]): boolean[] => heard.map(event => event.online)

test('coming is told at once, going after the time, to people of direct conversations', async () => {
  await using node = await startAlone()
  await befriend(node, 'ann', 'bob')
  const bob = node.listen('bob')
  const ann = node.connect('ann')
  await until(() => bob.length === 1, 'bob hears that ann is there')
  expect(bob[0]).toEqual({
    type: 'presence', user_id: 'ann', online: true, last_seen_at: expect.stringMatching(/^\d{4}-.*Z$/)
  })
  const leftAt = Date.now()
  ann.leave()
  const goneAt = Date.now()
  await until(() => bob.length === 2, 'bob hears that ann has gone')
  expect(Date.now() - leftAt).toBeGreaterThanOrEqual(OFFLINE_AFTER_MS)
  expect(bob[1]).toMatchObject({ type: 'presence', user_id: 'ann', online: false })
  expect(Date.parse(bob[1].last_seen_at)).toBeGreaterThanOrEqual(leftAt)
  expect(Date.parse(bob[1].last_seen_at)).toBeLessThanOrEqual(goneAt)
  expect(await node.lastSeen('ann')).toEqual(new Date(bob[1].last_seen_at))
})

test('fellows of groups, strangers, oneself, and users who block or are blocked hear nothing', async () => {
  await using node = await startAlone()
  for (const friend of ['bob', 'blocked', 'blocker']) await befriend(node, 'ann', friend)
  await befriend(node, 'bob', 'carl')
  await node.messaging.conversations.create('ann', { type: 'group', participant_ids: ['fellow', 'bob'] })
  await node.messaging.database.autocommit.orm.insert(blocks).values([
    {
      blocker_user_id: 'ann', blocked_user_id: 'blocked'
    }, { blocker_user_id: 'blocker', blocked_user_id: 'ann' }
  ])
  const bob = node.listen('bob')
  const others = ['ann', 'fellow', 'carl', 'blocked', 'blocker'].map(userId => node.listen(userId))
  node.connect('ann').leave()
  await until(() => bob.length === 2, 'bob hears of both')
  expect(others).toEqual([[], [], [], [], []])
})

test('a user who comes back in time, or has another connection, was never away', async () => {
  await using node = await startAlone({ offlineAfterMs: 1_500 })
  await befriend(node, 'ann', 'bob')
  await befriend(node, 'carl', 'bob')
  const bob = node.listen('bob')
  const [phone, tablet] = [node.connect('ann'), node.connect('ann')]
  await until(() => bob.length === 1, 'bob hears that ann is there')
  tablet.leave()
  phone.leave()
  await until(async () => await node.lastSeen('ann') !== null, 'the end is stored')
  const again = node.connect('ann')
  // Users who left after ann is announced after her.
  node.connect('carl').leave()
  await until(() => bob.length === 3, 'bob hears of carl')
  expect(bob.map(event => [event.user_id, event.online])).toEqual([
    ['ann', true], ['carl', true], ['carl', false]
  ])
  expect(await node.messaging.presence.isOnline('ann')).toBe(true)
  again.leave()
  await until(() => bob.length === 4, 'bob hears that ann has gone')
  expect(await node.messaging.presence.isOnline('ann')).toBe(false)
  node.connect('ann')
  await until(() => bob.length === 5, 'bob hears that ann is there again')
  expect(states(bob).slice(3)).toEqual([false, true])
})

test('3,000 users who come and go at once cost a few queries', async () => {
  const statements: string[] = []
  await using node =
    await startAlone({ intercept: name => { if (name.startsWith('presence_')) statements.push(name) } })
  const ids = Array.from({ length: 3_000 }, (_, i) => `user-${i}`)
  await node.messaging.database.autocommit.orm.insert(users).values(ids.map(id => ({ id })))
  await befriend(node, 'bob', 'user-0')
  await befriend(node, 'bob', 'user-2999')
  const bob = node.listen('bob')
  const connected = ids.map(id => node.connect(id))
  await until(() => bob.length === 2, 'bob hears that both are there')
  for (const connection of connected) connection.leave()
  await until(() => bob.length === 4, 'bob hears that both have gone')
  expect(states(bob)).toEqual([true, true, false, false])
  expect(statements.length).toBeLessThan(50)
})

test('what the database is away for is told when it is back, the newest state of each', async () => {
  let away = false
  let refused = 0
  await using node = await startAlone({
    intercept (name) {
      if (!away || !name.startsWith('presence_')) return
      refused++
      throw new AppError('unavailable', 'unavailable', 'the database is away')
    }
  })
  await befriend(node, 'ann', 'bob')
  await befriend(node, 'carl', 'bob')
  const bob = node.listen('bob')
  away = true
  node.connect('carl')
  node.connect('ann').leave()
  await until(() => refused > 1, 'it was tried')
  await until(async () => !await node.messaging.presence.isOnline('ann'), 'ann counts as gone')
  away = false
  await until(() => bob.length === 2, 'bob hears')
  expect(bob.map(event => [event.user_id, event.online]).sort()).toEqual([['ann', false], ['carl', true]])
  expect(await node.lastSeen('ann')).not.toBeNull()
})

test('a stop stores when those who were connected were last seen', async () => {
  await using file = await createDatabase()
  const node = await startNode(file)
  await befriend(node, 'ann', 'bob')
  const before = new Date()
  node.connect('ann')
  await node[Symbol.asyncDispose]()
  await using later = await startNode(file)
  expect((await later.lastSeen('ann'))!.getTime()).toBeGreaterThanOrEqual(before.getTime())
})
