/** A running Echo for walks, on ports that it has again after a kill, and a way to its database. */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { openDatabase } from '../../../store/database.ts'
import { caller, callerWith, type Answer } from '../../api/api.ts'
import { freePort } from '../../chaos/ports.ts'
import { type Ground } from '../../model/world.ts'
import {
  startEcho, tokenWith, type EchoProcess, type EchoProcessOptions
} from '../../support/echo-process.ts'

export interface WalkedGround extends Ground, AsyncDisposable {
  mqttPort: number
  /** `kill -9`, and a new start. */
  restart (): Promise<void>
}

/** A killed Echo is back by then. */
const PATIENCE_MS = 60_000
const PAUSE_MS = 50

/** `databaseUrl` is that of a migrated database which is nobody else's. */
export async function startGround (
  databaseUrl: string, options: Pick<EchoProcessOptions, 'dataDir' | 'entry'>
): Promise<WalkedGround> {
  const [httpPort, mqttPort] = [await freePort(), await freePort()]
  const start = (): Promise<EchoProcess> => startEcho({
    ...options,
    env: {
      DATABASE_URL: databaseUrl, HTTP_PORT: String(httpPort), MQTT_PORT: String(mqttPort), LOG_LEVEL: 'warn'
    }
  })
  let echo = await start()
  let restarted: Promise<void> = Promise.resolve()
  const database = openDatabase(databaseUrl)
  const run = randomBytes(3).toString('hex')
  let users = 0
  return {
    api: {
      url: echo.http,
      async user (name, { claims = {} } = {}) {
        const id = `${name}-${run}-${++users}`
        const token = await tokenWith(id, claims)
        const { request } = caller(echo.http, { judge () {} }, id, token)
        return callerWith(id, token, (...asked) => patiently(() => request(...asked)))
      }
    },
    mqttPort,
    database: database.autocommit,
    restart: () => (restarted = (async () => {
      await echo.kill()
      echo = await start()
    })()),
    async [Symbol.asyncDispose] () {
      await restarted.catch(() => {}) // whoever asked for it knows
      await database[Symbol.asyncDispose]()
      await echo.stop()
    }
  }
}

/** Asks again until there is an answer. An action that was done before its answer was lost is done twice. */
async function patiently (ask: () => Promise<Answer>): Promise<Answer> {
  for (const deadline = performance.now() + PATIENCE_MS; ;) {
    try {
      const answer = await ask()
      if (answer.status !== 503 || performance.now() > deadline) return answer
    } catch (error) {
      if (performance.now() > deadline) throw error
    }
    await sleep(PAUSE_MS)
  }
}
