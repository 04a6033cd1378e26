/**
 * The leases of nodes, and the time that all of them go by: Redis's, since their hosts may have
 * other clocks.
 *
 * A heartbeat is one step in Redis and brings back its time. Until the next one, the monotonic clock
 * of this process goes on from there. A node that stops gives its lease back and is remembered as one
 * that has left, until every other node has missed it.
 */
import { type Redis, type Result } from 'ioredis'

declare module 'ioredis' {
  // For clients that were given the scripts below.
  interface RedisCommander<Context> {
    echoBeat (
      nodesKey: string, leftKey: string, nodeId: string, leaseMs: number
    ): Result<[number, string[], number, string[], string[]], Context>
    echoLeave (nodesKey: string, leftKey: string, nodeId: string, leaseMs: number): Result<null, Context>
  }
}

/** Ends the leases that have run out and renews this node's. Takes the node and how long its lease is. */
const BEAT = `
local time = redis.call('time')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lost = redis.call('zrange', KEYS[1], 0, now, 'byscore')
redis.call('zremrangebyscore', KEYS[1], 0, now)
local added = redis.call('zadd', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('pexpire', KEYS[1], 10 * ARGV[2])
return { now, lost, added, redis.call('zrange', KEYS[1], 0, -1), redis.call('zrange', KEYS[2], 0, -1) }`

/** One step: nobody misses the node without learning that it has left. */
const LEAVE = `
local time = redis.call('time')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('zrem', KEYS[1], ARGV[1])
redis.call('zremrangebyscore', KEYS[2], 0, now)
redis.call('zadd', KEYS[2], now + 10 * ARGV[2], ARGV[1])
redis.call('pexpire', KEYS[2], 10 * ARGV[2])`

/** To be given to the client as `scripts`. */
export const HEARTBEAT_SCRIPTS = {
  echoBeat: { lua: BEAT, numberOfKeys: 2 }, echoLeave: { lua: LEAVE, numberOfKeys: 2 }
}

export interface Beaten {
  /** Nodes whose leases had run out. */
  lost: string[]
  /** This node was not there. */
  added: boolean
  alive: string[]
  /** Nodes that have stopped lately. */
  left: string[]
}

export interface RedisHeartbeat {
  beat (): Promise<Beaten>
  /** Gives the lease back. */
  leave (): Promise<void>
  /** Is Redis's time known? It is from the first heartbeat of a connection on. */
  readonly known: boolean
  /** Redis's time, in milliseconds since 1970. */
  now (): number
  /** The connection is lost: what answers next may go by another clock. */
  forget (): void
}

export function createRedisHeartbeat (commands: Redis, { nodesKey, leftKey, nodeId, leaseMs }: {
  nodesKey: string, leftKey: string, nodeId: string, leaseMs: number
}): RedisHeartbeat {
  let aheadMs: number | undefined // of performance.now()
  return {
    async beat () {
      const [now, lost, added, alive, left] = await commands.echoBeat(nodesKey, leftKey, nodeId, leaseMs)
      aheadMs = now - performance.now()
      return { lost, added: added === 1, alive, left }
    },
    async leave () { await commands.echoLeave(nodesKey, leftKey, nodeId, leaseMs) },
    get known () { return aheadMs !== undefined },
    now: () => Math.floor(performance.now() + (aheadMs ?? NaN)),
    forget () { aheadMs = undefined }
  }
}
