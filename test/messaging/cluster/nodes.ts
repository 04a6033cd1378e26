/** Messaging without doors: nodes over one database, with connections that are only said to be there. */
import pino from 'pino'
import { alone } from '../../../messaging/cluster/cluster.ts'
import { startRedisCluster } from '../../../messaging/cluster/cluster-redis.ts'
import { startMessaging, type Messaging } from '../../../messaging/start.ts'
import { openDatabase, type Database } from '../../../store/database.ts'
import { saidToBeThere } from '../../support/connection.ts'
import { createDatabase, type TestDatabase } from '../../support/database.ts'
import { SECRET } from '../../support/tokens.ts'

/** Milliseconds of absence that count, in place of 5,000. */
export const OFFLINE_AFTER_MS = 400

export interface Connected { ended: string | undefined, leave (): void }

export interface Node extends AsyncDisposable {
  messaging: Messaging
  connect (userId: string, issuedAt?: number, deviceId?: string): Connected
  /** From now on collects what comes to the user on `live`. */
  listen (userId: string): any[]
  lastSeen (userId: string): Promise<Date | null>
}

export interface NodeOptions {
  /** Undefined: a node that knows of no other. */
  redisUrl?: string
  /** Stands between the messaging and its database. */
  intercept?: (statement: string, values: unknown[]) => void
  offlineAfterMs?: number
}

export async function startNode (
  file: TestDatabase, { redisUrl, intercept = () => {}, offlineAfterMs = OFFLINE_AFTER_MS }: NodeOptions = {}
): Promise<Node> {
  const log = pino({ level: 'silent' })
  const opened = openDatabase(file.url)
  const database: Database = {
    ...opened,
    autocommit: {
      orm: opened.autocommit.orm,
      async rows (statement, values) {
        intercept(statement.name, values)
        return await opened.autocommit.rows(statement, values)
      }
    }
  }
  const cluster = redisUrl === undefined ? alone() : startRedisCluster(redisUrl, log)
  const messaging = await startMessaging({
    database,
    cluster,
    log,
    graceMs: 10_000,
    offlineAfterMs,
    authentication: {
      key: { kind: 'secret', secret: SECRET }
    }
  })
  const connections = new Set<() => void>()
  return {
    messaging,
    connect (userId, issuedAt, deviceId) {
      const connected: Connected = { ended: undefined, leave: () => { end(); connections.delete(end) } }
      const end = messaging.connections.add({
        ...saidToBeThere(userId, { device_id: deviceId ?? 'phone' }),
        identity: { expiresAt: Infinity, issuedAt },
        disconnect (reason) {
          connected.ended = reason
          connected.leave()
        }
      })
      connections.add(end)
      return connected
    },
    listen (userId) {
      const heard: any[] = []
      messaging.wakes.listen(
        userId, { wake () {}, live: payload => { heard.push(JSON.parse(payload.toString())) } }
      )
      return heard
    },
    async lastSeen (userId) {
      const [row] = await opened.autocommit.rows<{ at: Date | null }>(
        { name: 'test_last_seen', text: 'select last_seen_at as at from users where id = $1' }, [userId]
      )
      return row!.at
    },
    async [Symbol.asyncDispose] () {
      for (const end of connections) end()
      await messaging[Symbol.asyncDispose]()
      await cluster[Symbol.asyncDispose]()
      await opened[Symbol.asyncDispose]()
    }
  }
}

export async function startAlone (options: Omit<NodeOptions, 'redisUrl'> = {}): Promise<Node> {
  const file = await createDatabase()
  const node = await startNode(file, options)
  return {
    ...node,
    async [Symbol.asyncDispose] () {
      await node[Symbol.asyncDispose]()
      await file[Symbol.asyncDispose]()
    }
  }
}

export const befriend = (node: Node, one: string, other: string): Promise<unknown> =>
  node.messaging.conversations.create(one, { type: 'direct', participant_ids: [other] })
