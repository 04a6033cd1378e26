/**
 * Several nodes over Redis.
 *
 *   echo:nodes            sorted set: node → end of its lease
 *   echo:presence:<user>  sorted set: node (listens) and node/t (has a tracked session) → end of the entry
 *   echo:node:<node>      channel: wakes, rendered, for users of that node
 *   echo:all              channel: openings, due pushes
 *   echo:observe          channel: copies for admins, used only while somebody observes
 *
 * A node that dies is ignored as soon as its lease has run out, whatever its
 * presence entries say. A Redis that was emptied is noticed at the next
 * heartbeat, and everything is registered again. While Redis is away nothing
 * waits for it: calls answer "not known" at once.
 */
import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import { type Logger } from 'pino'
import { type Cluster, type ClusterEvents, type Holdings } from './cluster.ts'
import { decodeMessage, encodeLive, encodeWake } from './cluster-messages.ts'

const HEARTBEAT_MS = 2_000
const NODE_LEASE_MS = 10_000
const PRESENCE_MS = 180_000
const REFRESH_MS = 60_000
const COMMAND_TIMEOUT_MS = 1_000
const AWAY_MS = 1_000
const KEYS_PER_PIPELINE = 1_000
const TRACKED = '/t'

const NODES = 'echo:nodes'
const ALL = 'echo:all'
const OBSERVE = 'echo:observe'
const presenceKey = (userId: string): string => `echo:presence:${userId}`
const nodeChannel = (nodeId: string): string => `echo:node:${nodeId}`

export function joinRedis (url: string, log: Logger): Cluster {
  const nodeId = randomUUID()
  const options = {
    commandTimeout: COMMAND_TIMEOUT_MS,
    enableOfflineQueue: false,
    enableAutoPipelining: true,
    maxRetriesPerRequest: 0,
    retryStrategy: (attempt: number) => Math.min(attempt * 100, AWAY_MS)
  }
  const commands = new Redis(url, options)
  // Subscriptions are kept by the client and made again on each reconnect.
  const subscriber = new Redis(url, { ...options, enableOfflineQueue: true, commandTimeout: undefined, maxRetriesPerRequest: null })
  const lostListeners: Array<() => void> = []
  let nodes = new Set<string>()
  let holdings: Holdings | undefined
  let observers = 0
  let awayUntil = 0
  let registered = false
  /** Users whose comings and goings could not be told. */
  const missed = new Set<string>()
  let refreshedAt = 0
  let beating: Promise<void> | undefined
  let timer: NodeJS.Timeout | undefined
  let reported: 'connected' | 'away' = 'connected'

  for (const connection of [commands, subscriber]) connection.on('error', () => report('away'))

  function report (state: 'connected' | 'away'): void {
    if (state === reported) return
    reported = state
    if (state === 'away') log.warn('Redis is away: nodes find each other\'s events by the sweep')
    else log.info('Redis is back')
  }

  // A Redis that hangs is asked again after a while, not by every send.
  async function attempt<T> (work: () => Promise<T>): Promise<T | undefined> {
    if (Date.now() < awayUntil || commands.status !== 'ready') return undefined
    try {
      const result = await work()
      report('connected')
      return result
    } catch {
      awayUntil = Date.now() + AWAY_MS
      report('away')
      return undefined
    }
  }

  /** Runs in the background; what it would have done is made up for by the next heartbeat or the sweep. */
  function inBackground (work: () => Promise<unknown>): void {
    attempt(work).catch((error: unknown) => log.error({ err: error }, 'a notice to other nodes failed'))
  }

  async function heartbeat (): Promise<void> {
    await attempt(async () => {
      const now = Date.now()
      const [lost, added, alive, , counted] = results(await commands.pipeline()
        .zremrangebyscore(NODES, 0, now)
        .zadd(NODES, now + NODE_LEASE_MS, nodeId)
        .zrange(NODES, 0, -1)
        .pexpire(NODES, NODE_LEASE_MS * 10)
        .pubsub('NUMSUB', OBSERVE)
        .exec())
      nodes = new Set(alive as string[])
      observers = Number((counted as unknown[])[1] ?? 0)
      if (added === 1 || now - refreshedAt > REFRESH_MS) await register(now)
      if (missed.size > 0) await correct(now)
      if (Number(lost) > (added === 1 && registered ? 1 : 0)) lostListeners.forEach(listener => listener())
      registered = true
    })
  }

  async function register (now: number): Promise<void> {
    if (holdings === undefined) return
    refreshedAt = now
    const entries = [
      ...holdings.listening().map(userId => [userId, nodeId] as const),
      ...holdings.tracked().map(userId => [userId, nodeId + TRACKED] as const)
    ]
    for (let i = 0; i < entries.length; i += KEYS_PER_PIPELINE) {
      const pipeline = commands.pipeline()
      for (const [userId, member] of entries.slice(i, i + KEYS_PER_PIPELINE)) {
        pipeline.zadd(presenceKey(userId), now + PRESENCE_MS, member).pexpire(presenceKey(userId), PRESENCE_MS)
      }
      await pipeline.exec()
    }
  }

  async function correct (now: number): Promise<void> {
    const users = [...missed]
    missed.clear()
    const [listening, tracked] = [new Set(holdings?.listening()), new Set(holdings?.tracked())]
    const pipeline = commands.pipeline()
    for (const userId of users) {
      for (const [held, member] of [[listening, nodeId], [tracked, nodeId + TRACKED]] as const) {
        if (held.has(userId)) pipeline.zadd(presenceKey(userId), now + PRESENCE_MS, member)
        else pipeline.zrem(presenceKey(userId), member)
      }
    }
    await pipeline.exec()
  }

  /** Members of the users' presence on other nodes that are alive; undefined when not known. */
  async function presenceElsewhere (userIds: string[]): Promise<Map<string, string[]> | undefined> {
    if (userIds.length === 0 || (nodes.size === 1 && nodes.has(nodeId))) return new Map()
    return await attempt(async () => {
      const now = Date.now()
      const pipeline = commands.pipeline()
      for (const userId of userIds) pipeline.zrange(presenceKey(userId), now, '+inf', 'BYSCORE')
      const members = results(await pipeline.exec()) as string[][]
      return new Map(userIds.map((userId, i) => [userId, members[i]!.filter(member => {
        const node = member.replace(TRACKED, '')
        return node !== nodeId && nodes.has(node)
      })]))
    })
  }

  async function publishToNodes (userIds: string[], encode: (users: Set<string>) => string): Promise<void> {
    const elsewhere = await presenceElsewhere(userIds)
    const usersByNode = new Map<string, Set<string>>()
    for (const [userId, members] of elsewhere ?? []) {
      for (const member of members) {
        if (member.endsWith(TRACKED)) continue // whoever is tracked is listened for too
        usersByNode.set(member, (usersByNode.get(member) ?? new Set()).add(userId))
      }
    }
    await Promise.all([...usersByNode].map(([node, users]) => commands.publish(nodeChannel(node), encode(users))))
  }

  return {
    nodeId,
    async join (events: ClusterEvents, held: Holdings) {
      holdings = held
      subscriber.on('message', (channel: string, text: string) => {
        try {
          deliver(events, channel, text)
        } catch (error) {
          log.warn({ err: error, channel }, 'a notice from another node could not be read')
        }
      })
      subscriber.subscribe(nodeChannel(nodeId), ALL).catch(() => {}) // kept and repeated until it succeeds
      await heartbeat()
      timer = setInterval(() => {
        beating ??= heartbeat().finally(() => { beating = undefined })
      }, HEARTBEAT_MS)
      commands.on('ready', () => { beating ??= heartbeat().finally(() => { beating = undefined }) })
    },
    async trackedElsewhere (userIds) {
      const elsewhere = await presenceElsewhere(userIds)
      if (elsewhere === undefined) return undefined
      return new Set([...elsewhere].filter(([, members]) => members.some(member => member.endsWith(TRACKED))).map(([userId]) => userId))
    },
    changed (userId, kind, present) {
      const member = kind === 'tracked' ? nodeId + TRACKED : nodeId
      attempt(async () => {
        if (present) await commands.pipeline().zadd(presenceKey(userId), Date.now() + PRESENCE_MS, member).pexpire(presenceKey(userId), PRESENCE_MS).exec()
        else await commands.zrem(presenceKey(userId), member)
        return true
      }).then(told => { if (told === undefined) missed.add(userId) }, () => missed.add(userId))
    },
    observing (present) {
      const change = present ? subscriber.subscribe(OBSERVE) : subscriber.unsubscribe(OBSERVE)
      change.catch(() => {})
    },
    wake (events) {
      inBackground(async () => {
        await publishToNodes([...new Set(events.map(event => event.userId))], users => encodeWake(events.filter(event => users.has(event.userId)), nodeId))
        if (observers > 0) await commands.publish(OBSERVE, encodeWake(events, nodeId))
      })
    },
    live (userIds, payload) {
      inBackground(async () => {
        await publishToNodes(userIds, users => encodeLive([...users], payload, nodeId))
        if (observers > 0) await commands.publish(OBSERVE, encodeLive(userIds, payload, nodeId))
      })
    },
    opened: opening => inBackground(() => commands.publish(ALL, JSON.stringify({ kind: 'opened', from: nodeId, opening }))),
    pushDue: () => inBackground(() => commands.publish(ALL, JSON.stringify({ kind: 'push_due', from: nodeId }))),
    onNodeLost (listener) { lostListeners.push(listener) },
    state: () => commands.status === 'ready' && Date.now() >= awayUntil ? 'connected' : 'away',
    async [Symbol.asyncDispose] () {
      clearInterval(timer)
      await beating
      await attempt(() => commands.zrem(NODES, nodeId))
      commands.disconnect()
      subscriber.disconnect()
    }
  }

  function deliver (events: ClusterEvents, channel: string, text: string): void {
    const message = decodeMessage(text)
    if (message.from === nodeId) return
    switch (message.kind) {
      case 'wake': return channel === OBSERVE ? events.observe(message.events) : events.wake(message.events)
      case 'live': return channel === OBSERVE ? events.observeLive(message.userIds, message.payload) : events.live(message.userIds, message.payload)
      case 'opened': return events.opened(message.opening)
      case 'push_due': return events.pushDue()
    }
  }
}

function results (answers: Array<[Error | null, unknown]> | null): unknown[] {
  return (answers ?? []).map(([error, value]) => {
    if (error !== null) throw error
    return value
  })
}
