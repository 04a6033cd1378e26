/** The stored sessions of topics granted by `acl`, in Redis, where every node finds them. */
import { type ClientContext, type Redis, type Result } from 'ioredis'
import { ClientFault } from '../connection-errors.ts'
import { MAX_QUEUED_BYTES, MAX_QUEUED_MESSAGES, SCRIPTS, SESSION_TTL_MS } from './scripts-redis.ts'

export interface QueuedMessage {
  n: number
  topic: string
  payload: Buffer
  qos: 1 | 2
  again: boolean
}
export interface Publication { topic: string, payload: string | Buffer, qos: number }

export const REPLACED = 'the device connected again'

type Argument = string | number | Buffer

declare module 'ioredis' {
  // For clients that were given SCRIPTS.
  interface RedisCommander<Context> extends Record<keyof typeof SCRIPTS, Script<Context>> {
    aclReadBuffer: Script<Context>
  }
}
type Script<Context extends ClientContext> = (...args: Argument[]) => Result<any, Context>

export type RedisSessions = ReturnType<typeof createRedisSessions>

export function createRedisSessions (redis: Redis) {
  for (const [name, lua] of Object.entries(SCRIPTS)) redis.defineCommand(name, { numberOfKeys: 0, lua })
  const run = async (name: keyof typeof SCRIPTS, ...args: Argument[]): Promise<any> =>
    await redis[name](...args)

  const enqueue = async (
    { topic, payload, qos }: Publication, publisher = '', id: number | '' = ''
  ): Promise<void> => {
    await run(
      'aclEnqueue', topic, payload, qos, MAX_QUEUED_MESSAGES, MAX_QUEUED_BYTES, publisher, id, SESSION_TTL_MS
    )
  }

  return {
    async subscribe (client: string, filters: Iterable<readonly [string, number]>): Promise<void> {
      await run('aclSubscribe', client, SESSION_TTL_MS, ...[...filters].flat())
    },
    async unsubscribe (client: string, filters: string[]): Promise<void> {
      await run('aclUnsubscribe', client, ...filters)
    },
    async subscriptions (client: string): Promise<Array<{ topic: string, qos: 0 | 1 | 2 }>> {
      const stored = await redis.hgetall(`echo:acl:session:${client}`)
      return Object.entries(stored).map(([topic, qos]) => ({ topic, qos: Number(qos) as 0 | 1 | 2 }))
    },
    async forget (client: string): Promise<void> { await run('aclForget', client) },

    /** Into the queue of every session that has subscribed to it. */
    enqueue: async (message: Publication) => { await enqueue(message) },

    /** The same for a message with QoS 2, unless its identifier waits for a PUBREL already. */
    async receive (client: string, id: number, message: Publication): Promise<void> {
      await enqueue(message, client, id)
    },
    received: async (client: string, id: number): Promise<boolean> =>
      await redis.sismember(`echo:acl:incoming:${client}`, id) === 1,
    async releaseReceived (client: string, id: number): Promise<void> {
      await redis.srem(`echo:acl:incoming:${client}`, id)
    },
    async forgetReceived (client: string): Promise<void> {
      await redis.del(`echo:acl:incoming:${client}`)
    },

    /** Whether there is a session; from now on there is. */
    async remember (client: string): Promise<boolean> {
      const known = await redis.exists(`echo:acl:session:${client}`, `echo:acl:state:${client}`) > 0
      // With lease 0 nobody is fenced off yet.
      if (!known) await run('aclOpen', client, 0, SESSION_TTL_MS)
      return known
    },

    /** The identifiers the device has received and not released; undefined: a newer connection has begun. */
    async open (client: string, lease: number): Promise<number[] | undefined> {
      const ids: string[] | null = await run('aclOpen', client, lease, SESSION_TTL_MS)
      return ids?.map(Number)
    },

    /** The messages after `n`; undefined: a newer connection has begun. */
    async read (
      client: string, lease: number, after: number, maxMessages: number, maxBytes: number
    ): Promise<QueuedMessage[] | undefined> {
      const answer: [number, ...Buffer[]] | null =
        await redis.aclReadBuffer(client, lease, after, maxMessages, maxBytes)
      if (answer === null) return undefined
      const [sent, ...fields] = answer
      return Array.from({ length: fields.length / 4 }, (_, i) => {
        const [n, topic, payload, qos] = fields.slice(4 * i, 4 * i + 4) as [Buffer, Buffer, Buffer, Buffer]
        return {
          n: Number(n), topic: topic.toString(), payload, qos: Number(qos) as 1 | 2, again: Number(n) <= sent
        }
      })
    },

    async acknowledge (client: string, lease: number, n: number): Promise<void> {
      await run('aclSettle', client, lease, n, '', '')
    },
    /** Throws when a newer connection has begun: it sends the message again, so it is not released here. */
    async release (client: string, lease: number, n: number, id: number): Promise<void> {
      if (await run('aclSettle', client, lease, n, id, '') === null) throw new ClientFault(REPLACED)
    },
    async complete (client: string, lease: number, id: number): Promise<void> {
      await run('aclSettle', client, lease, '', '', id)
    },

    /** Keeps a connected session from expiring, and tells what is there of it. */
    async renew (client: string): Promise<{ stored: boolean, last: number }> {
      const [stored, last] = await run('aclRenew', client, SESSION_TTL_MS)
      return { stored: stored === 1, last }
    }
  }
}
