/** Questions to all nodes over Redis. */
import { expect, test } from 'vitest'
import { startTestRedis, type TestRedis } from '../../support/cluster.ts'
import { createDatabase } from '../../support/database.ts'
import { scratchFolder } from '../../support/echo-process.ts'
import { until } from '../../support/until.ts'
import { befriend, startNode, type Node } from './nodes.ts'

async function startPair (): Promise<{ redis: TestRedis, one: Node, two: Node } & AsyncDisposable> {
  const folder = await scratchFolder()
  const file = await createDatabase()
  const redis = await startTestRedis(folder.path)
  const [one, two] =
    await Promise.all([startNode(file, { redisUrl: redis.url }), startNode(file, { redisUrl: redis.url })])
  await befriend(one, 'ann', 'bob')
  await until(
    async () => (await one.messaging.cluster.ask('totals', {})).answers.length === 2, 'both nodes answer'
  )
  return {
    redis,
    one,
    two,
    async [Symbol.asyncDispose] () {
      await Promise.all([one[Symbol.asyncDispose](), two[Symbol.asyncDispose]()])
      await redis[Symbol.asyncDispose]()
      await file[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    }
  }
}

const nodeId = (node: Node): string => node.messaging.cluster.nodeId

test('sessions on every node are found and ended from any of them', async () => {
  await using pair = await startPair()
  const { one, two } = pair
  const phones =
    [one.connect('ann', 0, 'phone'), two.connect('ann', 0, 'tablet'), two.connect('bob', 0, 'phone')]
  const { live } = await one.messaging.userConnections.list('root', 'ann')
  expect(new Map(live.answers.map(({ node, answer }) => [node, answer.map(state => state.device_id)])))
    .toEqual(new Map([[nodeId(one), ['phone']], [nodeId(two), ['tablet']]]))
  expect([live.silent, live.nodesKnown]).toEqual([[], true])
  const tablet = await one.messaging.userConnections.disconnect('root', 'ann', 'tablet')
  expect(tablet.answers).toEqual([{ node: nodeId(one), answer: 0 }, { node: nodeId(two), answer: 1 }])
  const rest = await two.messaging.userConnections.disconnect('root', 'ann', undefined)
  expect(rest.answers).toEqual([{ node: nodeId(two), answer: 0 }, { node: nodeId(one), answer: 1 }])
  expect(phones.map(({ ended }) => ended)).toEqual([
    'an administrator ended it', 'an administrator ended it', undefined
  ])
  const { nodes } = await one.messaging.statistics()
  expect(nodes.answers).toEqual(expect.arrayContaining([
    { node: nodeId(one), answer: { users: 0, connections: 0, tracked_sessions: 0 } },
    { node: nodeId(two), answer: { users: 1, connections: 1, tracked_sessions: 0 } }
  ]))
})

test('a node that does not answer is named after a second, and the others\' answers count', async () => {
  await using pair = await startPair()
  const { one, two, redis } = pair
  two.connect('ann', 0, 'tablet')
  await redis.ask('zadd', 'echo:nodes', String(Date.now() + 60_000), 'frozen')
  const askedAt = performance.now()
  const { live } = await one.messaging.userConnections.list('root', 'ann')
  expect(performance.now() - askedAt).toBeGreaterThan(900)
  expect([live.silent, live.nodesKnown]).toEqual([['frozen'], true])
  expect(live.answers.map(({ node, answer }) => [node, answer.length])).toEqual([
    [nodeId(one), 0], [nodeId(two), 1]
  ])
})

test('with Redis hanging or away the own sessions are told, the other nodes are named, and nothing waits', async () => {
  await using pair = await startPair()
  const { one, two, redis } = pair
  one.connect('ann', 0, 'phone')
  redis.pause()
  for (const state of ['hanging', 'away']) {
    const { live } = await one.messaging.userConnections.list('root', 'ann')
    expect([live.silent, live.nodesKnown], state).toEqual([[nodeId(two)], false])
    expect(live.answers.map(({ answer }) => answer.map(session => session.device_id)), state).toEqual([
      ['phone']
    ])
    redis.resume()
    await redis.kill()
  }
})
