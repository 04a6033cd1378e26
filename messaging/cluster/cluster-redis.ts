/**
 * Several nodes over Redis.
 *
 *   echo:nodes            sorted set: node → end of its lease (heartbeat-redis.ts)
 *   echo:left             sorted set: node that has stopped → when that is forgotten
 *   echo:presence:<user>  sorted set: node (listens), node/t (has a tracked session) and
 *                         node/o (online-redis.ts) → end of the entry
 *   echo:node:<node>      channel: wakes, rendered, for users of that node; answers to its questions
 *   echo:all              channel: openings, revocations, due pushes, questions, comings and goings of nodes
 *   echo:observe          channel: copies for admins, used only while an admin observes
 *
 * A node that dies is ignored as soon as its lease has run out, whatever its
 * presence entries say. A Redis that was emptied is noticed at the next
 * heartbeat, and everything is registered again. While Redis is away nothing
 * waits for it: calls answer "not known" at once.
 */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { hostname } from 'node:os'
import { Redis } from 'ioredis'
import { type Logger } from 'pino'
import { withinMs } from '../../core/deadline.ts'
import { type Cluster, type ClusterEvents, type GoneNodes, type Holdings } from './cluster.ts'
import { decodeMessage, encodeLive, encodeRevoked, encodeWake } from './messages.ts'
import { createRedisHeartbeat, HEARTBEAT_SCRIPTS } from './heartbeat-redis.ts'
import { createRedisOnline, results } from './online-redis.ts'
import { createSendLookups } from './send-lookups.ts'
import { createRedisQuestions, type AnswerMessage, type QuestionMessage } from './questions-redis.ts'

const HEARTBEAT_MS = 2_000
const NODE_LEASE_MS = 10_000
const PRESENCE_MS = 180_000
const REFRESH_MS = 60_000
const COMMAND_TIMEOUT_MS = 1_000
const AWAY_MS = 1_000
const JOIN_WITHIN_MS = 2_000
const KEYS_PER_PIPELINE = 1_000
const TRACKED = '/t'

const NODES = 'echo:nodes'
const LEFT = 'echo:left'
const ALL = 'echo:all'
const OBSERVE = 'echo:observe'
const presenceKey = (userId: string): string => `echo:presence:${userId}`
const nodeChannel = (nodeId: string): string => `echo:node:${nodeId}`

export interface HeartbeatOptions {
  heartbeatMs?: number
  /** How long after its last heartbeat a node is gone. */
  nodeLeaseMs?: number
}

export function startRedisCluster (
  url: string, log: Logger, { heartbeatMs = HEARTBEAT_MS, nodeLeaseMs = NODE_LEASE_MS }: HeartbeatOptions = {}
): Cluster {
  /** An emptied Redis is filled again by the heartbeats of all; until then no user is known to be absent. */
  const registrationMs = 2 * heartbeatMs
  const nodeId = `${hostname()}-${randomUUID().slice(0, 8)}`
  const options = {
    commandTimeout: COMMAND_TIMEOUT_MS,
    enableOfflineQueue: false,
    enableAutoPipelining: true,
    maxRetriesPerRequest: 0,
    retryStrategy: (attempt: number) => Math.min(attempt * 100, AWAY_MS)
  }
  const commands = new Redis(url, { ...options, scripts: HEARTBEAT_SCRIPTS })
  // Subscriptions are kept by the client and made again on each reconnect.
  // No ready check: a subscription may be sent before it, and in subscriber mode its INFO
  // is refused, which left a node deaf in one start of ten.
  const subscriber = new Redis(url, {
    ...options,
    enableReadyCheck: false,
    enableOfflineQueue: true,
    commandTimeout: undefined,
    maxRetriesPerRequest: null
  })
  const goneListeners: Array<(nodes: GoneNodes) => void> = []
  const leases =
    createRedisHeartbeat(commands, { nodesKey: NODES, leftKey: LEFT, nodeId, leaseMs: nodeLeaseMs })
  const online = createRedisOnline(
    commands, nodeId, { nodesKey: NODES, presenceKey, entryMs: PRESENCE_MS, now: leases.now }
  )
  const questions = createRedisQuestions(nodeId, {
    livingNodes: () => attempt(() => commands.zrange(NODES, leases.now(), '+inf', 'BYSCORE')),
    lastKnownNodes: () => nodes,
    publish: async question =>
      await attempt(() => commands.publish(ALL, JSON.stringify(question))) !== undefined
  })
  const sendLookups = createSendLookups(() => commands.ping())
  let nodes = new Set<string>()
  /** Nodes that are gone; one of the others has to look after their users. */
  const unclaimed = new Set<string>()
  let holdings: Holdings | undefined
  let events: ClusterEvents | undefined
  let observers = 0
  let awayUntil = 0
  let registered = false
  let uncertainUntil = 0
  /** Users who came or went while Redis could not be told. */
  const missed = new Set<string>()
  /** Comings and goings that Redis is being told of. */
  const changes = new Set<Promise<void>>()
  let refreshedAt = -Infinity
  let beating: Promise<void> | undefined
  let timer: NodeJS.Timeout | undefined
  let reported: 'connected' | 'away' = 'connected'

  for (const connection of [commands, subscriber]) connection.on('error', () => report('away'))
  // It may come back without what it knew: the next heartbeat tells.
  commands.on('close', () => {
    uncertainUntil = Infinity
    leases.forget()
  })

  function report (state: 'connected' | 'away'): void {
    if (state === reported) return
    reported = state
    if (state === 'away') log.warn('Redis is away: nodes find each other\'s events by the sweep')
    else log.info('Redis is back')
  }

  // A Redis that hangs is asked again after a while, not by every send.
  async function attempt<T> (work: () => Promise<T>): Promise<T | undefined> {
    return leases.known ? await askRedis(work) : undefined
  }

  async function askRedis<T> (work: () => Promise<T>): Promise<T | undefined> {
    if (performance.now() < awayUntil || commands.status !== 'ready') return undefined
    try {
      const result = await work()
      report('connected')
      return result
    } catch {
      awayUntil = performance.now() + AWAY_MS
      report('away')
      return undefined
    }
  }

  /** Runs in the background; what it would have done is made up for by the next heartbeat or the sweep. */
  function inBackground (work: () => Promise<unknown>): void {
    attempt(work).catch((error: unknown) => log.error({ err: error }, 'a notice to other nodes failed'))
  }

  async function heartbeat (): Promise<void> {
    await askRedis(async () => {
      const [{ lost, added, alive, left }, counted] =
        await Promise.all([leases.beat(), commands.pubsub('NUMSUB', OBSERVE)])
      const now = performance.now()
      const gone = [...new Set([...nodes, ...lost])].filter(node => !alive.includes(node) && node !== nodeId)
      for (const node of nodes) if (gone.includes(node)) unclaimed.add(node)
      nodes = new Set(alive)
      observers = Number(counted[1] ?? 0)
      const forgotten = added && registered
      if (added) refreshedAt = -Infinity
      uncertainUntil = forgotten ? now + registrationMs : Math.min(uncertainUntil, now + registrationMs)
      if (now - refreshedAt > REFRESH_MS) await register()
      if (missed.size > 0) await correct()
      if (added) await commands.publish(ALL, JSON.stringify({ kind: 'nodes_changed', from: nodeId }))
      registered = true
      // A Redis that forgot this node has forgotten those that are gone, too.
      if (forgotten || gone.length > 0) {
        const nodesGone = {
          left: gone.filter(node => left.includes(node)), lost: gone.filter(node => !left.includes(node))
        }
        goneListeners.forEach(listener => listener(nodesGone))
      }
      for (const node of unclaimed) {
        events?.abandoned(await online.claim(node))
        unclaimed.delete(node)
      }
    })
  }

  function beat (): void {
    beating ??= heartbeat().finally(() => { beating = undefined })
  }

  async function register (): Promise<void> {
    if (holdings === undefined) return
    const [startedAt, now] = [performance.now(), leases.now()]
    const entries = [
      ...holdings.listening().map(userId => [userId, nodeId] as const),
      ...holdings.tracked().map(userId => [userId, nodeId + TRACKED] as const)
    ]
    for (let i = 0; i < entries.length; i += KEYS_PER_PIPELINE) {
      const pipeline = commands.pipeline()
      for (const [userId, member] of entries.slice(i, i + KEYS_PER_PIPELINE)) {
        const key = presenceKey(userId)
        pipeline.zremrangebyscore(key, 0, now).zadd(key, now + PRESENCE_MS, member).pexpire(key, PRESENCE_MS)
      }
      results(await pipeline.exec())
    }
    const missing = await online.register(holdings.online())
    if (registered) events?.reappeared(missing)
    refreshedAt = startedAt
  }

  async function correct (): Promise<void> {
    const now = leases.now()
    const users = [...missed]
    const [listening, tracked] = [new Set(holdings?.listening()), new Set(holdings?.tracked())]
    const pipeline = commands.pipeline()
    for (const userId of users) {
      for (const [held, member] of [[listening, nodeId], [tracked, nodeId + TRACKED]] as const) {
        const key = presenceKey(userId)
        if (held.has(userId)) pipeline.zadd(key, now + PRESENCE_MS, member).pexpire(key, PRESENCE_MS)
        else pipeline.zrem(key, member)
      }
      // A user who changes from here on either tells it or is missed again.
      missed.delete(userId)
    }
    try {
      results(await pipeline.exec())
    } catch (error) {
      for (const userId of users) missed.add(userId)
      throw error
    }
  }

  /** Members of the users' presence on other nodes that are alive; undefined when not known. */
  async function presenceElsewhere (userIds: string[]): Promise<Map<string, string[]> | undefined> {
    if (userIds.length === 0 || (nodes.size === 1 && nodes.has(nodeId))) return new Map()
    return await attempt(async () => {
      const now = leases.now()
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
        if (member.endsWith(TRACKED)) continue // a tracked session listens too
        usersByNode.set(member, (usersByNode.get(member) ?? new Set()).add(userId))
      }
    }
    await Promise.all([...usersByNode].map(([node, users]) =>
      commands.publish(nodeChannel(node), encode(users))))
  }

  return {
    nodeId,
    async join (heard: ClusterEvents, held: Holdings) {
      holdings = held
      events = heard
      subscriber.on('message', (channel: string, text: string) => {
        try {
          deliver(heard, channel, text)
        } catch (error) {
          log.warn({ err: error, channel }, 'a notice from another node could not be read')
        }
      })
      // Kept by the client and repeated until it succeeds.
      const subscribed = subscriber.subscribe(nodeChannel(nodeId), ALL).catch(() => {})
      const ready = commands.status === 'ready' ? undefined : once(commands, 'ready').catch(() => {})
      commands.on('ready', beat)
      await withinMs(JOIN_WITHIN_MS, Promise.all([subscribed, ready]))
      await heartbeat()
      log.info({ node: nodeId }, 'the name of this process among the others')
      timer = setInterval(beat, heartbeatMs)
    },
    async trackedElsewhere (userIds) {
      const elsewhere = await sendLookups.ask(() => presenceElsewhere(userIds))
      if (elsewhere === undefined || !registered || performance.now() < uncertainUntil) return undefined
      return new Set([...elsewhere].filter(([, members]) => members.some(member => member.endsWith(TRACKED)))
        .map(([userId]) => userId))
    },
    async arrived (userIds) {
      const known = await attempt(() => online.arrived(userIds))
      if (known === undefined) refreshedAt = -Infinity // the next heartbeat enters them
      return known
    },
    // Before all nodes have registered again, a user on another one seems to be gone.
    departed: async userIds => registered && performance.now() >= uncertainUntil
      ? await attempt(() => online.departed(userIds))
      : undefined,
    onlineElsewhere: async userIds => {
      const others = new Set(nodes)
      others.delete(nodeId)
      return others.size === 0 ? new Set() : await attempt(() => online.onNodes(userIds, others))
    },
    changed (userId, kind, present) {
      const member = kind === 'tracked' ? nodeId + TRACKED : nodeId
      const key = presenceKey(userId)
      // Pipelines, both: a lone command waits for its turn to be batched, and a going would
      // overtake the coming after it.
      const change = present
        ? () =>
            commands.pipeline().zadd(key, leases.now() + PRESENCE_MS, member).pexpire(key, PRESENCE_MS).exec()
        : () => commands.pipeline().zrem(key, member).exec()
      const telling = attempt(async () => results(await change())).then(
        told => { if (told === undefined) missed.add(userId) }, () => { missed.add(userId) }
      ).finally(() => { changes.delete(telling) })
      changes.add(telling)
    },
    async told () { await Promise.all(changes) },
    observing (present) {
      const change = present ? subscriber.subscribe(OBSERVE) : subscriber.unsubscribe(OBSERVE)
      change.catch(() => {})
    },
    wake (events) {
      inBackground(async () => {
        await publishToNodes([...new Set(events.map(event => event.userId))], users =>
          encodeWake(events.filter(event => users.has(event.userId)), nodeId))
        if (observers > 0) await commands.publish(OBSERVE, encodeWake(events, nodeId))
      })
    },
    live (userIds, payload) {
      inBackground(async () => {
        await publishToNodes(userIds, users => encodeLive([...users], payload, nodeId))
        if (observers > 0) await commands.publish(OBSERVE, encodeLive(userIds, payload, nodeId))
      })
    },
    opened: opening =>
      inBackground(() => commands.publish(ALL, JSON.stringify({ kind: 'opened', from: nodeId, opening }))),
    revoked: revocation => inBackground(() => commands.publish(ALL, encodeRevoked(revocation, nodeId))),
    pushDue: () =>
      inBackground(() => commands.publish(ALL, JSON.stringify({ kind: 'push_due', from: nodeId }))),
    ask: (about, asks) => questions.ask(about, asks, events!.answers[about](asks)),
    onNodesGone (listener) { goneListeners.push(listener) },
    state: () => commands.status === 'ready' && performance.now() >= awayUntil ? 'connected' : 'away',
    async [Symbol.asyncDispose] () {
      clearInterval(timer)
      sendLookups[Symbol.dispose]()
      await beating
      await attempt(async () => {
        await leases.leave()
        await commands.publish(ALL, JSON.stringify({ kind: 'nodes_changed', from: nodeId }))
      })
      commands.disconnect()
      subscriber.disconnect()
    }
  }

  function deliver (events: ClusterEvents, channel: string, text: string): void {
    const message = decodeMessage(text)
    if (message.from === nodeId) return
    switch (message.kind) {
      case 'wake': return channel === OBSERVE ? events.observe(message.events) : events.wake(message.events)
      case 'live': return channel === OBSERVE
        ? events.observeLive(message.userIds, message.payload)
        : events.live(message.userIds, message.payload)
      case 'opened': return events.opened(message.opening)
      case 'revoked': return events.revoked(message.revocation)
      case 'push_due': return events.pushDue()
      case 'question': return answer(events, message)
      case 'answer': return questions.answered(message)
      case 'nodes_changed': return beat()
    }
  }

  function answer ({ answers }: ClusterEvents, { from, id, about, asks }: QuestionMessage): void {
    const message: AnswerMessage = { kind: 'answer', from: nodeId, id, answer: answers[about](asks as never) }
    inBackground(() => commands.publish(nodeChannel(from), JSON.stringify(message)))
  }
}
