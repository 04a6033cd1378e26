/**
 * How many requests are answered per second: of one address, counted before the
 * caller is known, and of one user.
 *
 * Counts are in Redis when there is one, else in memory, bounded. A request that
 * cannot be counted is not limited.
 */
import rateLimit from '@fastify/rate-limit'
import { type FastifyReply, type FastifyRequest } from 'fastify'
import { type Logger } from 'pino'
import { addressKey, isLoopback } from '../../core/address.ts'
import { rateLimited } from '../../core/errors.ts'
import { type App } from '../app.ts'
import { callerOf } from '../authentication.ts'
import { rateLimitedTotal } from '../metrics.ts'
import { createSpend, type Spend } from './allowances.ts'
import { createMemoryCharge, createMemoryCounts } from './counts-memory.ts'
import { startRedisCounts } from './counts-redis.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Counts as a message of its caller, too. */
    sends?: true
    /** For operators: neither limited nor refused under load. */
    unlimited?: true
  }
}

export const REQUESTS_PER_ADDRESS = 300
const WINDOW_MS = 1_000
/** Addresses or users per limit; those counted least recently are forgotten first. */
const MAX_COUNTED_IN_MEMORY = 20_000

export interface RateLimits {
  /** Per second and user; 0: no limit, also none per address, and none in an hour. */
  requests: number
  /** Of these, messages; 0: no limit. */
  sends: number
  /** Where all api processes count together; in memory by default. */
  redisUrl?: string
  /** How long a count lasts; a second by default. */
  windowMs?: number
}

export interface RateLimiter {
  /** To be called after `requireToken`, which finds out who the caller is. */
  limitUsers (routes: Pick<App, 'addHook'>): void
  /** For calls that are no routes: they count with the routes. Throws `too_many`. */
  admitAddress (address: string): Promise<void>
  admitUser (userId: string, sends: boolean): Promise<void>
  /** Takes from what a user may have done in an hour. */
  spend: Spend
}

/** Limits all routes of `app` per address from here on, and `limitUsers` some of them per user, too. */
export async function createRateLimiter (
  app: App, { requests, sends, redisUrl, windowMs = WINDOW_MS }: RateLimits, log: Logger
): Promise<RateLimiter> {
  const inRedis = redisUrl === undefined || (requests === 0 && sends === 0)
    ? undefined
    : startRedisCounts(redisUrl, log)
  app.addHook('onClose', async () => inRedis?.[Symbol.dispose]())
  const store = inRedis?.store ?? createMemoryCounts(MAX_COUNTED_IN_MEMORY)
  await app.register(rateLimit, {
    global: false,
    timeWindow: windowMs,
    skipOnError: true,
    // The library makes its own instance, and all count in the one store.
    store: class {
      incr = store.incr
      child = store.child
    }
  })
  const perAddress = limiter('address', REQUESTS_PER_ADDRESS, request => addressKey(request.ip))
  const perUser = limiter('user', requests, request => callerOf(request).userId)
  const sendsPerUser = limiter('sends', sends, request => callerOf(request).userId)

  if (requests > 0) {
    app.addHook('onRequest', async (request, reply) => {
      if (request.routeOptions.config.unlimited === true || isLoopback(addressKey(request.ip))) return
      answer(reply, { address: await perAddress(request) })
    })
  }

  function limiter (name: string, max: number, keyOf: (request: FastifyRequest) => string) {
    const options: rateLimit.RateLimitOptions =
      { max, keyGenerator: request => `${name} ${keyOf(request)}` }
    return app.createRateLimit(options)
  }

  async function admit (name: string, max: number, key: string): Promise<void> {
    if (max === 0) return
    const count = await new Promise<{ current: number, ttl: number } | undefined>(resolve => {
      // What cannot be counted is not limited.
      store.incr(`${name} ${key}`, (error, counted) => resolve(error == null ? counted : undefined),
        windowMs, max)
    })
    if (count === undefined || count.current <= max) return
    rateLimitedTotal.inc({ limit: name })
    const afterS = Math.max(1, Math.ceil(count.ttl / 1_000))
    throw rateLimited(`more than ${max} within ${windowMs / 1_000} s`, afterS)
  }

  const charge = inRedis?.charge ?? createMemoryCharge(MAX_COUNTED_IN_MEMORY)
  return {
    async admitAddress (address) {
      const key = addressKey(address)
      if (requests > 0 && !isLoopback(key)) await admit('address', REQUESTS_PER_ADDRESS, key)
    },
    async admitUser (userId, asSend) {
      await Promise.all([admit('user', requests, userId), asSend && admit('sends', sends, userId)])
    },
    spend: requests === 0 ? async () => {} : createSpend(charge),
    limitUsers (routes) {
      if (requests === 0 && sends === 0) return
      routes.addHook('onRequest', async (request, reply) => {
        // Both at once: one way to Redis and back.
        const [user, messages] = await Promise.all([
          requests > 0 ? perUser(request) : undefined,
          sends > 0 && request.routeOptions.config.sends === true ? sendsPerUser(request) : undefined
        ])
        answer(reply, { user, sends: messages })
      })
    }
  }
}

type Count = Awaited<ReturnType<ReturnType<App['createRateLimit']>>>

/** Shows the narrowest of the limits. Throws `too_many` when one of them is exceeded. */
function answer (reply: FastifyReply, counts: Record<string, Count | undefined>): void {
  const limits = Object.entries(counts)
    .flatMap(([name, count]) => count === undefined || count.isAllowed ? [] : [{ name, ...count }])
  const narrowest = limits.toSorted((a, b) => a.remaining - b.remaining)[0]
  if (narrowest === undefined) return
  const exceeded = limits.filter(limit => limit.isExceeded)
  const resetS =
    Math.max(1, ...(exceeded.length > 0 ? exceeded : [narrowest]).map(limit => limit.ttlInSeconds))
  reply.headers({
    'x-ratelimit-limit': narrowest.max,
    'x-ratelimit-remaining': narrowest.remaining,
    'x-ratelimit-reset': resetS
  })
  for (const { name } of exceeded) rateLimitedTotal.inc({ limit: name })
  if (exceeded.length > 0) {
    throw rateLimited(`more than ${exceeded[0]!.max} within ${exceeded[0]!.timeWindow / 1_000} s`, resetS)
  }
}
