/** The wiring: which parts a process has, what each is given, and in which order they open. Closing goes the other way round. */
import { type Logger } from 'pino'
import { startApi } from './api/server.ts'
import { startBroker } from './broker/start.ts'
import { type Config } from './config.ts'
import { developmentSecret } from './development-secret.ts'
import { Opened } from './lifecycle.ts'
import { type TokenKey } from './messaging/authentication.ts'
import { startMessaging } from './messaging/start.ts'
import { migrate } from './migrations/migrate.ts'
import { createLogSender } from './push-bridge/log-sender.ts'
import { startPushBridge } from './push-bridge/start.ts'
import { openDatabase, type Database } from './store/database.ts'
import { startEmbeddedPostgres } from './store/embedded-postgres/start.ts'
import { readEpoch } from './store/meta.ts'

export interface System extends AsyncDisposable {
  httpPort: number
  mqttPort: number
  wsPort: number
  /** Present when tokens are signed with the generated secret. */
  developmentKey: Uint8Array | undefined
}

/** Starts all or nothing. */
export async function startSystem (config: Config, { log }: { log: Logger }): Promise<System> {
  const opened = new Opened()
  try {
    const databaseUrl = config.databaseUrl ?? await startDatabase(config, log, opened)
    const developmentKey = config.tokenKey === undefined ? await developmentSecret(config.dataDir) : undefined
    const key: TokenKey = config.tokenKey ?? { kind: 'secret', secret: developmentKey! }

    const database = await opened.add(openDatabase(databaseUrl, error => log.warn({ err: error }, 'a database connection was lost')))
    const messaging = await opened.add(startMessaging({
      database,
      authentication: { key, issuer: config.jwtIssuer, audience: config.jwtAudience },
      graceMs: config.pushGraceMs,
      log
    }))
    await opened.add(startPushBridge({
      database, sender: createLogSender(log), log, onPushDue: messaging.onPushDue, graceMs: config.pushGraceMs
    }))
    const broker = await opened.add(startBroker(config, { messaging, log }))
    const api = await opened.add(startApi({ host: config.host, port: config.httpPort }, { messaging, log, ready: () => readiness(database) }))

    return {
      httpPort: api.port,
      mqttPort: broker.mqttPort,
      wsPort: broker.wsPort,
      developmentKey,
      [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose]()
    }
  } catch (error) {
    await opened[Symbol.asyncDispose]().catch((closing: unknown) => log.error({ err: closing }, 'closing after a failed start failed too'))
    throw error
  }
}

/** The embedded database, migrated. */
async function startDatabase ({ dataDir }: Config, log: Logger, opened: Opened): Promise<string> {
  const { url } = await opened.add(startEmbeddedPostgres({ dataDir, log }))
  await migrate(url)
  return url
}

async function readiness (database: Database) {
  const ok = await readEpoch(database.reads).then(() => true, () => false)
  return { ready: ok, dependencies: { database: { ok, ...(ok ? {} : { detail: 'the database does not answer' }) } } }
}
