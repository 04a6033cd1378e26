/**
 * The wiring: which parts a process has, what each is given, and in which order they open; they close in
 * reverse.
 */
import { join } from 'node:path'
import { type Logger } from 'pino'
import { startHealth } from './api/health-server.ts'
import { type RateLimits } from './api/limits/rate-limits.ts'
import { type Pages } from './api/pages/pages.ts'
import { startApi, type ApiDeps } from './api/server.ts'
import { startBroker, type BrokerOptions } from './broker/start.ts'
import { type Config, type Role } from './config.ts'
import { unavailable } from './core/errors.ts'
import { developmentSecret } from './development-secret.ts'
import { Opened } from './lifecycle.ts'
import { startAttachments } from './messaging/attachments/attachments.ts'
import { type TokenKey } from './messaging/access/authentication.ts'
import { issueToken } from './messaging/access/tokens.ts'
import { alone } from './messaging/cluster/cluster.ts'
import { startRedisCluster, type HeartbeatOptions } from './messaging/cluster/cluster-redis.ts'
import { startMessaging, type MessagingDeps } from './messaging/start.ts'
import { migrate } from './migrations/migrate.ts'
import { refuseOtherSchema } from './migrations/other-schema.ts'
import { logEntryOf } from './push-bridge/log-entry.ts'
import { createLogSender } from './push-bridge/log-sender.ts'
import type { FcmTarget } from './push-bridge/fcm/sender.ts'
import { type PushSender } from './push-bridge/sender.ts'
import { startPushBridge } from './push-bridge/start.ts'
import { notReady, probeDatabase, readinessOf, waitFor } from './readiness.ts'
import { probeRedis } from './redis-probe.ts'
import { startClock } from './store/clock.ts'
import { openDatabase } from './store/database.ts'
import { createOutage } from './store/connections/outage.ts'
import { startEmbeddedPostgres } from './store/embedded-postgres/start.ts'
import { type FileStore } from './store/files/file-store.ts'
import { startLocalFiles } from './store/files/local-files.ts'
import { readTls } from './tls.ts'

/** Written by `npm run build:web`. */
const PAGES = join(import.meta.dirname, 'web/dist')

export interface SystemDeps {
  log: Logger
  /** Ends the wait for a database or Redis that is away at start. */
  signal?: AbortSignal
  /** How soon what died, or has expired, is missed. Each part has its own default. */
  timings?: Timings
}

/** Of processes, their wills and users; of silent peers; of tokens; of late answers. */
export type Timings = HeartbeatOptions &
  Pick<BrokerOptions, 'willRoundMs' | 'drainTimeoutMs' | 'wsTimes'> &
  Pick<MessagingDeps, 'offlineAfterMs' | 'stalledMs' | 'sweepMs' | 'tokenCheckMs'> &
  Pick<ApiDeps, 'grpcPings' | 'overload'>

export interface System extends AsyncDisposable {
  httpPort: number
  /** Absent without the role `broker`. */
  mqttPort?: number
  wsPort?: number
  /** Absent without the role `api`. */
  grpcPort?: number
  /** Absent without TLS. */
  mqttsPort?: number
  /** Present when tokens are signed with the generated secret. */
  developmentKey: Uint8Array | undefined
  /** From here on it says that it is not ready, and serves as before. */
  leave (): void
}

/** Starts all or nothing. */
export async function startSystem (
  config: Config, { log, signal, timings = {} }: SystemDeps
): Promise<System> {
  const opened = new Opened()
  const has = (role: Role): boolean => config.roles.includes(role)
  const state = { ready: false }
  try {
    const tls = config.tls === undefined ? undefined : await readTls(config.tls)
    // HTTP comes first: a process that waits can say so, and a taken port stops the start at once.
    const waiting = await startHealth({ host: config.host, port: config.httpPort }, {
      log,
      tls,
      ready: async () => notReady('it is starting'),
      elsewhere: () => unavailable('Echo is starting')
    }).then(server => opened.add(server))

    // Before the wait for a database: files that cannot be used stop the start at once.
    const sender = has('push-bridge') && config.fcm !== undefined
      ? await opened.add(openSender(config.fcm))
      : createLogSender(log)
    const databaseUrl = config.databaseUrl ?? await startDatabase(config, log, opened)
    const database = await opened.add(openDatabase(databaseUrl, createOutage(log)))
    await waitFor('the database', probeDatabase(database), { log, signal })
    await refuseOtherSchema(sql => database.autocommit.rows({ name: 'newest_migration', text: sql }, []))
    const { now } = await opened.add(startClock(database, log))
    if (config.redisUrl !== undefined) await waitFor('Redis', probeRedis(config.redisUrl), { log, signal })
    const cluster = await opened.add(
      config.redisUrl === undefined ? alone() : startRedisCluster(config.redisUrl, log, timings)
    )

    const developmentKey = config.tokenKey === undefined ? await developmentSecret(config.dataDir) : undefined
    const key: TokenKey = config.tokenKey ?? { kind: 'secret', secret: developmentKey! }
    const messaging = await opened.add(startMessaging({
      database,
      cluster,
      authentication: { key, issuer: config.jwtIssuer, audience: config.jwtAudience },
      graceMs: config.pushGraceMs,
      ...timings,
      now,
      log
    }))
    const bridge = has('push-bridge')
      ? await opened.add(startPushBridge({
        database,
        epoch: () => messaging.epoch,
        sender,
        log,
        now,
        onPushDue: messaging.onPushDue,
        onSent: (push, result) => messaging.pushLog.add(logEntryOf(push, result, now())),
        graceMs: config.pushGraceMs,
        privacy: config.pushPrivacy,
        options: { expireAfterMs: config.pushExpireMs }
      }))
      : undefined
    const broker = has('broker')
      ? await opened.add(startBroker(
        { ...config, ...timings, tls }, { messaging, log }
      ))
      : undefined

    await waiting[Symbol.asyncDispose]()
    const http = { host: config.host, port: waiting.port }
    const files = has('api') ? await opened.add(openFiles(config)) : undefined
    const ready = async () => state.ready
      ? await readinessOf({ database, cluster, push: bridge?.health(), files })
      : notReady('it is stopping')
    const api = await opened.add(files === undefined
      ? startHealth(http, { log, tls, ready })
      : startApi(http, {
        messaging,
        attachments: await opened.add(startAttachments({ database, files, log })),
        log,
        ready,
        trustProxy: config.trustProxy,
        corsOrigins: config.corsOrigins,
        tls,
        grpcPort: config.grpcPort,
        pages: pagesOf(config, broker?.wsPort, developmentKey),
        grpcPings: timings.grpcPings,
        overload: timings.overload,
        rateLimits: rateLimitsOf(config)
      }))
    state.ready = true
    const leave = (): void => {
      state.ready = false
      api.leave?.()
    }
    return {
      httpPort: api.port,
      mqttPort: broker?.mqttPort,
      wsPort: broker?.wsPort,
      grpcPort: api.grpcPort,
      mqttsPort: broker?.mqttsPort,
      developmentKey,
      leave,
      async [Symbol.asyncDispose] () {
        leave()
        await opened[Symbol.asyncDispose]()
      }
    }
  } catch (error) {
    await opened[Symbol.asyncDispose]().catch((closing: unknown) =>
      log.error({ err: closing }, 'closing after a failed start failed too'))
    throw error
  }
}

/** The embedded database, migrated. */
async function startDatabase ({ dataDir }: Config, log: Logger, opened: Opened): Promise<string> {
  const { url } = await opened.add(startEmbeddedPostgres({ dataDir, log }))
  await migrate(url)
  return url
}

/** Pages get tokens only where the secret is the one that Echo has made for development. */
const pagesOf = (
  { wsPort, jwtIssuer: issuer, jwtAudience: audience }: Config, openPort = wsPort,
  secret: Uint8Array | undefined
): Pages => ({
  folder: PAGES,
  webSocketPort: openPort,
  issueToken: secret && (wanted => issueToken({ ...wanted, secret, issuer, audience }))
})

const rateLimitsOf = ({ rateLimitRequests, rateLimitSends, redisUrl }: Config): RateLimits =>
  ({ requests: rateLimitRequests, sends: rateLimitSends, redisUrl })

// The SDKs of Google and Amazon are loaded by the processes that use them.

async function openSender (target: FcmTarget): Promise<PushSender & AsyncDisposable> {
  const { startFcmSender } = await import('./push-bridge/fcm/sender.ts')
  return await startFcmSender(target)
}

async function openFiles ({ s3, dataDir }: Config): Promise<FileStore> {
  if (s3 === undefined) return startLocalFiles(join(dataDir, 'attachments'))
  const { startS3Files } = await import('./store/files/s3-files.ts')
  return startS3Files(s3)
}
