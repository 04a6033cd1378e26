/**
 * Who is online where, in Redis.
 *
 *   echo:presence:<user>  has, besides the members of cluster-redis.ts, node/o: online through that node
 *   echo:online:<node>    set: the users of node/o, for the nodes that survive this one
 *
 * node/o stays until a node has announced that the user is offline. So the entry of a dead
 * node does not say where the user is, only that their people believe them online.
 */
import { type Redis } from 'ioredis'

/** Longer than any node takes to notice that another is gone. */
const SET_MS = 600_000
const USERS_PER_PIPELINE = 1_000
const ONLINE = '/o'

const onlineKey = (nodeId: string): string => `echo:online:${nodeId}`
const nodeOf = (member: string): string => member.slice(0, -ONLINE.length)

export interface RedisOnline {
  /** Enters these users anew; resolves to those whose entry was missing. */
  register (userIds: string[]): Promise<string[]>
  /** Enters these users; resolves to those that any node had entered before. */
  arrived (userIds: string[]): Promise<Set<string>>
  /** Takes these users out; resolves to those that a living node has entered. */
  departed (userIds: string[]): Promise<Set<string>>
  /** Which of these users one of the nodes has entered. */
  onNodes (userIds: string[], nodes: ReadonlySet<string>): Promise<Set<string>>
  /** The users of a node that is gone; only one caller gets them. */
  claim (goneNodeId: string): Promise<string[]>
}

export function createRedisOnline (commands: Redis, nodeId: string, { nodesKey, presenceKey, entryMs, now }: {
  nodesKey: string, presenceKey: (userId: string) => string, entryMs: number, now: () => number
}): RedisOnline {
  const own = nodeId + ONLINE
  const onlineMembers = (members: unknown): string[] =>
    (members as string[]).filter(member => member.endsWith(ONLINE))

  return {
    // Everything is sent before anything is awaited: a user who goes meanwhile is taken out after it.
    async register (userIds) {
      const added = await Promise.all(chunks(userIds).map(async chunk => {
        const pipeline = commands.pipeline()
        for (const userId of chunk) {
          pipeline.zadd(presenceKey(userId), now() + entryMs, own).pexpire(presenceKey(userId), entryMs)
        }
        pipeline.sadd(onlineKey(nodeId), ...chunk).pexpire(onlineKey(nodeId), SET_MS)
        const answers = results(await pipeline.exec())
        return chunk.filter((_, i) => answers[i * 2] === 1)
      }))
      return added.flat()
    },

    // Two nodes that see a user come and go at the same moment must agree on what was
    // announced: looking and entering are one step, and so are leaving and looking.
    async arrived (userIds) {
      const at = now()
      const step = commands.multi()
      for (const userId of userIds) {
        step.zrange(presenceKey(userId), at, '+inf', 'BYSCORE')
          .zadd(presenceKey(userId), at + entryMs, own)
          .pexpire(presenceKey(userId), entryMs)
      }
      step.sadd(onlineKey(nodeId), ...userIds).pexpire(onlineKey(nodeId), SET_MS)
      const answers = results(await step.exec())
      return new Set(userIds.filter((_, i) => onlineMembers(answers[i * 3]).length > 0))
    },

    async departed (userIds) {
      const at = now()
      const step =
        commands.multi().zrange(nodesKey, at, '+inf', 'BYSCORE').srem(onlineKey(nodeId), ...userIds)
      for (const userId of userIds) {
        step.zrem(presenceKey(userId), own).zrange(presenceKey(userId), at, '+inf', 'BYSCORE')
      }
      const [alive, , ...answers] = results(await step.exec())
      const nodes = new Set(alive as string[])
      const staying = new Set<string>()
      const stale = commands.pipeline()
      userIds.forEach((userId, i) => {
        for (const member of onlineMembers(answers[i * 2 + 1])) {
          if (nodes.has(nodeOf(member))) staying.add(userId)
          else stale.zrem(presenceKey(userId), member)
        }
      })
      if (stale.length > 0) results(await stale.exec())
      return staying
    },

    async onNodes (userIds, nodes) {
      const pipeline = commands.pipeline()
      for (const userId of userIds) pipeline.zrange(presenceKey(userId), now(), '+inf', 'BYSCORE')
      const answers = results(await pipeline.exec())
      return new Set(userIds.filter((_, i) =>
        onlineMembers(answers[i]).some(member => nodes.has(nodeOf(member)))))
    },

    async claim (goneNodeId) {
      const [userIds] =
        results(await commands.multi().smembers(onlineKey(goneNodeId)).del(onlineKey(goneNodeId)).exec())
      return userIds as string[]
    }
  }
}

const chunks = (users: string[]): string[][] =>
  Array.from({ length: Math.ceil(users.length / USERS_PER_PIPELINE) }, (_, i) =>
    users.slice(i * USERS_PER_PIPELINE, (i + 1) * USERS_PER_PIPELINE))

/** Throws the first error among the answers of a pipeline. */
export function results (answers: Array<[Error | null, unknown]> | null): unknown[] {
  return (answers ?? []).map(([error, value]) => {
    if (error !== null) throw error
    return value
  })
}
