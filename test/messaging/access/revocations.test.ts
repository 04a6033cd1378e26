import { expect, test } from 'vitest'
import { audit_log } from '../../../migrations/schema.ts'
import { startTestRedis } from '../../support/cluster.ts'
import { createDatabase } from '../../support/database.ts'
import { scratchFolder } from '../../support/echo-process.ts'
import { until } from '../../support/until.ts'
import { befriend, startAlone, startNode, type Connected } from '../cluster/nodes.ts'

const second = (): number => Math.floor(Date.now() / 1000)

test('sessions with a token issued up to the second of the revocation end, later ones stay', async () => {
  await using node = await startAlone()
  await befriend(node, 'ann', 'bob')
  const now = second()
  const [dateless, old, thisSecond] =
    [node.connect('ann'), node.connect('ann', now - 60), node.connect('ann', now)]
  const [later, other] = [node.connect('ann', now + 5), node.connect('bob', now - 60)]
  await node.messaging.revocations.revoke('root', 'ann')
  expect([dateless, old, thisSecond, later, other].map(connected => connected.ended)).toEqual([
    'its token was revoked', 'its token was revoked', 'its token was revoked', undefined, undefined
  ])
})

test('a revocation is in the audit log, and one of an unknown user is not', async () => {
  await using node = await startAlone()
  await befriend(node, 'ann', 'bob')
  await node.messaging.revocations.revoke('root', 'ann')
  await expect(node.messaging.revocations.revoke('root', 'nobody')).rejects.toMatchObject({
    fault: 'not_found', code: 'user_not_found'
  })
  const entries = await node.messaging.database.autocommit.orm.select().from(audit_log)
  expect(entries).toMatchObject([{ actor_user_id: 'root', action: 'revoke_tokens', subject_user_id: 'ann' }])
})

test('a node that gets no notice ends the sessions at its next look', async () => {
  let looks = 0
  await using file = await createDatabase()
  await using one = await startNode(file)
  await using two = await startNode(file, {
    intercept (name) { if (name === 'revocations_recent') looks++ }
  })
  await befriend(one, 'ann', 'bob')
  const connected = two.connect('ann', second() - 60)
  await one.messaging.revocations.revoke('root', 'ann')
  // One of them may have been under way.
  const soon = async (session: Connected): Promise<void> => {
    const before = looks
    await until(() => session.ended, 'the session has ended')
    expect(looks - before).toBeLessThanOrEqual(2)
  }
  await soon(connected)
  // Let in by a node that trusted the token for a moment longer.
  await soon(two.connect('ann', second() - 60))
})

test('a node that could not read revocations for a while looks back to before that', async () => {
  const lookBack: number[] = []
  await using file = await createDatabase()
  await using one = await startNode(file)
  await using two = await startNode(file, {
    intercept (name, [seconds]) {
      if (name !== 'revocations_recent') return
      lookBack.push(seconds as number)
      if (lookBack.length <= 3) throw new Error('not now')
    }
  })
  await befriend(one, 'ann', 'bob')
  const connected = two.connect('ann', second() - 60)
  await one.messaging.revocations.revoke('root', 'ann')
  await until(() => connected.ended, 'the session has ended')
  expect(lookBack[0]).toBeGreaterThan(10)
  expect(lookBack[3]! - lookBack[0]!).toBeGreaterThan(2.5)
})

test('a notice reaches the other nodes before they ask', async () => {
  await using folder = await scratchFolder()
  await using redis = await startTestRedis(folder.path)
  await using file = await createDatabase()
  const deaf = {
    redisUrl: redis.url,
    intercept: (name: string) => { if (name === 'revocations_recent') throw new Error('not now') }
  }
  await using one = await startNode(file, deaf)
  await using two = await startNode(file, deaf)
  await befriend(one, 'ann', 'bob')
  await until(async () => await redis.ask('zcard', 'echo:nodes') === 2, 'the nodes have joined')
  const [old, fresh] = [two.connect('ann', second() - 60), two.connect('ann', second() + 5)]
  await one.messaging.revocations.revoke('root', 'ann')
  await until(() => old.ended, 'the session has ended')
  expect(fresh.ended).toBeUndefined()
})
