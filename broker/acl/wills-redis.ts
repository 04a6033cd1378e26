/**
 * Wills in Redis: the process that publishes a will takes it first, so it is
 * published once.
 *
 * A process publishes the wills of its own connections, and those of a process that
 * has died: its key has run out and stays away for another round. The second round
 * is there because a Redis that was away loses the keys of living processes too.
 */
import { type Redis } from 'ioredis'

const PREFIX = 'echo:acl:'
const WILL_BROKERS = `${PREFIX}will-brokers`

export interface Will {
  topic: string
  payload: string | Buffer
  qos: 0 | 1 | 2
  retain: boolean
  /** Of the client whose will it is; it goes with what is retained. */
  clientId?: string
}

export class RedisWills {
  readonly #redis: Redis
  readonly #roundMs: number
  #suspects = new Set<string>()
  brokerId = ''

  constructor (redis: Redis, roundMs: number) {
    this.#redis = redis
    this.#roundMs = roundMs
  }

  async put (clientId: string, { topic, payload, qos, retain }: Will): Promise<void> {
    const will = JSON.stringify({ topic, payload: Buffer.from(payload).toString('base64'), qos, retain })
    await this.#redis.multi()
      .hset(`${PREFIX}wills:${this.brokerId}`, clientId, will)
      .sadd(WILL_BROKERS, this.brokerId)
      .exec()
  }

  /** Undefined: there is none, or another process has taken it. */
  async take (clientId: string, brokerId = this.brokerId): Promise<Will | undefined> {
    const will: string | null = await this.#redis.aclTakeWill(brokerId, clientId)
    if (will === null) return undefined
    const { payload, ...rest } = JSON.parse(will)
    return { ...rest, payload: Buffer.from(payload, 'base64') }
  }

  /** Says that this process lives, and hands out the wills of those that do not. */
  async round (publish: (will: Will) => void): Promise<void> {
    await this.#redis.set(`${PREFIX}alive:${this.brokerId}`, 1, 'PX', 3 * this.#roundMs)
    const absent = new Set<string>()
    for (const brokerId of await this.#redis.smembers(WILL_BROKERS)) {
      if (await this.#redis.exists(`${PREFIX}alive:${brokerId}`) === 0) absent.add(brokerId)
    }
    const dead = [...absent].filter(brokerId => this.#suspects.has(brokerId))
    this.#suspects = absent
    for (const brokerId of dead) {
      for (const clientId of await this.#redis.hkeys(`${PREFIX}wills:${brokerId}`)) {
        const will = await this.take(clientId, brokerId)
        if (will !== undefined) publish({ ...will, clientId })
      }
      await this.#redis.srem(WILL_BROKERS, brokerId)
    }
  }
}
