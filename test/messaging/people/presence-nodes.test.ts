/** Presence on several nodes over Redis. */
import { expect, test } from 'vitest'
import { startTestRedis, type TestRedis } from '../../support/cluster.ts'
import { createDatabase } from '../../support/database.ts'
import { scratchFolder } from '../../support/echo-process.ts'
import { until } from '../../support/until.ts'
import { befriend, startNode, type Node } from '../cluster/nodes.ts'

interface Nodes extends AsyncDisposable {
  redis: TestRedis
  nodes: Node[]
  stop (node: Node): Promise<void>
  heard: any[]
}

/** `count` nodes; bob listens on the last one and knows ann and carl. */
async function startNodes (count: number): Promise<Nodes> {
  const folder = await scratchFolder()
  const file = await createDatabase()
  const redis = await startTestRedis(folder.path)
  const nodes =
    await Promise.all(Array.from({ length: count }, () => startNode(file, { redisUrl: redis.url })))
  const stopped = new Set<Node>()
  async function stop (node: Node): Promise<void> {
    stopped.add(node)
    await node[Symbol.asyncDispose]()
  }
  await befriend(nodes[0]!, 'ann', 'bob')
  await befriend(nodes[0]!, 'carl', 'bob')
  const heard = nodes.at(-1)!.listen('bob')
  const probes = nodes.at(-1)!.listen('probe')
  await until(() => {
    nodes.forEach((node, i) => node.messaging.wakes.live(['probe'], Buffer.from(`${i}`)))
    return new Set(probes).size === count
  }, 'every node reaches the last one')
  return {
    redis,
    nodes,
    heard,
    stop,
    async [Symbol.asyncDispose] () {
      await Promise.all(nodes.filter(node => !stopped.has(node)).map(stop))
      await redis[Symbol.asyncDispose]()
      await file[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    }
  }
}

const news = (heard: any[]): Array<[string, boolean]> => heard.map(event => [event.user_id, event.online])

test('a user who changes nodes in time was never away, and is offline when the last node says so', async () => {
  await using world = await startNodes(3)
  const [one, two, three] = world.nodes as [Node, Node, Node]
  const first = one.connect('ann')
  await until(() => world.heard.length === 1, 'bob hears that ann is there')
  await until(() => three.messaging.presence.isOnline('ann'), 'the other nodes know')
  first.leave()
  const second = two.connect('ann')
  one.connect('carl').leave()
  await until(() => world.heard.length === 3, 'bob hears of carl, who left after ann')
  expect(await three.messaging.presence.isOnline('ann')).toBe(true)
  const third = one.connect('ann')
  second.leave()
  two.connect('carl').leave()
  await until(() => world.heard.length === 5, 'bob hears of carl again')
  third.leave()
  await until(() => world.heard.length === 6, 'bob hears that ann has gone')
  expect(news(world.heard)).toEqual([
    ['ann', true], ['carl', true], ['carl', false], ['carl', true], ['carl', false], ['ann', false]
  ])
  expect(await three.messaging.presence.isOnline('ann')).toBe(false)
})

test('a user who comes to several nodes at once is announced once', async () => {
  await using world = await startNodes(3)
  for (const node of world.nodes) node.connect('ann')
  await until(async () =>
    Number(await world.redis.ask('zcard', 'echo:presence:ann')) === 3, 'all nodes have entered ann')
  world.nodes[0]!.connect('carl').leave()
  await until(
    () => news(world.heard).some(([userId, online]) => userId === 'carl' && !online), 'bob hears of carl'
  )
  expect(news(world.heard).filter(([userId]) => userId === 'ann')).toEqual([['ann', true]])
})

test('users of a node that stops are offline when they do not come back', async () => {
  await using world = await startNodes(2)
  const [one, two] = world.nodes as [Node, Node]
  one.connect('ann')
  one.connect('carl')
  await until(() => world.heard.length === 2, 'bob hears of both')
  await world.stop(one)
  two.connect('ann')
  await until(() => world.heard.length === 3, 'bob hears of one more')
  expect(news(world.heard).at(-1)).toEqual(['carl', false])
  expect([
    await two.messaging.presence.isOnline('ann'), await two.messaging.presence.isOnline('carl')
  ]).toEqual([true, false])
})

test('without Redis a node answers what it knows, and announces no user as gone before Redis is back', async () => {
  await using world = await startNodes(2)
  const [one, two] = world.nodes as [Node, Node]
  const carl = two.connect('carl')
  one.connect('ann')
  await until(() => world.heard.length === 2, 'bob hears of both')
  await world.redis.kill()
  await until(() => two.messaging.cluster.state() === 'away', 'the node has noticed')
  expect([
    await two.messaging.presence.isOnline('carl'), await two.messaging.presence.isOnline('ann')
  ]).toEqual([true, false])
  carl.leave()
  const here = two.connect('ann')
  await until(() => world.heard.length === 3, 'bob hears that ann is on his node')
  here.leave()
  await world.redis.start()
  await until(
    () => news(world.heard).some(([userId, online]) => userId === 'carl' && !online),
    'bob hears that carl has gone'
  )
  await until(() => two.messaging.presence.isOnline('ann'), 'a Redis that came back empty knows ann again')
  expect(news(world.heard).filter(([userId, online]) => userId === 'ann' && !online)).toEqual([])
})

test('a node that was taken for gone while it was paused announces again who is there', async () => {
  await using world = await startNodes(2)
  const [one] = world.nodes as [Node, Node]
  one.connect('ann')
  await until(() => world.heard.length === 1, 'bob hears that ann is there')
  await world.redis.ask('del', 'echo:presence:ann')
  await world.redis.ask('zrem', 'echo:nodes', one.messaging.cluster.nodeId)
  await until(() => world.heard.length === 2, 'bob hears it again')
  expect(news(world.heard)).toEqual([['ann', true], ['ann', true]])
})
