/**
 * Topics granted by `acl` across nodes: `mqemitter-redis` carries them,
 * `aedes-persistence-redis` keeps what outlives a connection.
 *
 * Only what other nodes need goes to Redis. What Aedes says about connections
 * and subscriptions on this node stays here, so that a phone's CONNECT never
 * depends on Redis.
 */
import { createRequire } from 'node:module'
import mqemitter from 'mqemitter'
import { Redis } from 'ioredis'
import { type Logger } from 'pino'
import { type Emitter } from './emitter.ts'
import { type Persistence } from './persistence.ts'

const CONCURRENCY = 100
const CHANNEL_PREFIX = 'acl/'
const KEY_PREFIX = 'echo:acl:'

/** Notices about this node's own connections; brokers' births and heartbeats and shared subscriptions do go out. */
const staysHere = (topic: string): boolean =>
  topic.startsWith('$SYS/') && !/^\$SYS\/(sub\/|[^/]+\/(heartbeat|birth)$)/.test(topic)

export interface RedisTopics extends AsyncDisposable { emitter: Emitter, persistence: Persistence }

export function connectRedisTopics (url: string, log: Logger): RedisTopics {
  const require = createRequire(import.meta.url)
  const { MQEmitterRedisPrefix } = require('mqemitter-redis')
  const shared: Emitter & { state: NodeJS.EventEmitter } = new MQEmitterRedisPrefix(CHANNEL_PREFIX, {
    connectionString: url, concurrency: CONCURRENCY, matchEmptyLevels: true
  })
  shared.state.on('error', (error: Error) => log.debug({ err: error }, 'the channel of acl topics is away'))
  const own: Emitter = mqemitter({ concurrency: CONCURRENCY, matchEmptyLevels: true })
  const route = (topic: string): Emitter => staysHere(topic) ? own : shared

  const connection = new Redis(url, { keyPrefix: KEY_PREFIX, maxRetriesPerRequest: 3 })
  connection.on('error', (error: Error) => log.debug({ err: error }, 'the store of acl topics is away'))
  const persistence: Persistence = require('aedes-persistence-redis')({ conn: connection })

  return {
    emitter: {
      on: (topic, receive, done) => route(topic).on(topic, receive, done),
      removeListener: (topic, receive, done) => route(topic).removeListener(topic, receive, done),
      emit: (packet, done) => route(packet.topic).emit(packet, done),
      close: done => own.close(() => shared.close(done))
    },
    persistence,
    async [Symbol.asyncDispose] () { connection.disconnect() }
  }
}
