/**
 * The leases of nodes, and the time that all of them go by: Redis's, since their hosts may have
 * other clocks.
 *
 * A heartbeat is one step in Redis and brings back its time. Until the next one, the monotonic clock
 * of this process goes on from there.
 */
import { type Redis } from 'ioredis'

/** Ends the leases that have run out and renews this node's. Takes the node and how long its lease is. */
const BEAT = `
local time = redis.call('time')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lost = redis.call('zrange', KEYS[1], 0, now, 'byscore')
redis.call('zremrangebyscore', KEYS[1], 0, now)
local added = redis.call('zadd', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('pexpire', KEYS[1], 10 * ARGV[2])
return { now, lost, added, redis.call('zrange', KEYS[1], 0, -1) }`

/** To be given to the client as `scripts`. */
export const HEARTBEAT_SCRIPTS = { echoBeat: { lua: BEAT, numberOfKeys: 1 } }

type Beat = (key: string, nodeId: string, leaseMs: number) => Promise<[number, string[], number, string[]]>

export interface Beaten {
  /** Nodes whose leases had run out. */
  lost: string[]
  /** This node was not there. */
  added: boolean
  alive: string[]
}

export interface RedisHeartbeat {
  beat (): Promise<Beaten>
  /** Is Redis's time known? It is from the first heartbeat of a connection on. */
  readonly known: boolean
  /** Redis's time, in milliseconds since 1970. */
  now (): number
  /** The connection is lost: what answers next may go by another clock. */
  forget (): void
}

export function createRedisHeartbeat (commands: Redis, { nodesKey, nodeId, leaseMs }: {
  nodesKey: string, nodeId: string, leaseMs: number
}): RedisHeartbeat {
  const echoBeat = (commands as unknown as { echoBeat: Beat }).echoBeat.bind(commands)
  let aheadMs: number | undefined // of performance.now()
  return {
    async beat () {
      const [now, lost, added, alive] = await echoBeat(nodesKey, nodeId, leaseMs)
      aheadMs = now - performance.now()
      return { lost, added: added === 1, alive }
    },
    get known () { return aheadMs !== undefined },
    now: () => Math.floor(performance.now() + (aheadMs ?? NaN)),
    forget () { aheadMs = undefined }
  }
}
