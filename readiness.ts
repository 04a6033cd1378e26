/**
 * Whether a process can do its work: waiting for what it needs at start, and the state of each dependency
 * later.
 */
import { type Logger } from 'pino'
import { type Readiness } from './api/contract/schemas.ts'
import { withinMs } from './core/deadline.ts'
import { findAppError } from './core/errors.ts'
import { type Cluster } from './messaging/cluster/cluster.ts'
import { type PushHealth } from './push-bridge/pace/gate.ts'
import { type Database } from './store/database.ts'
import { distrust } from './store/database-errors.ts'
import { type FileStore } from './store/files/file-store.ts'
import { readEpoch } from './store/meta.ts'

const FIRST_PAUSE_MS = 200
const LONGEST_PAUSE_MS = 3_000
const PROBE_MS = 1_500

/**
 * Resolves when `probe` does. Throws an error that waiting does not heal, and the signal's reason when it
 * ends the wait.
 */
export async function waitFor (
  name: string, probe: () => Promise<unknown>, { log, signal }: { log: Logger, signal?: AbortSignal }
): Promise<void> {
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    try {
      await probe()
      return
    } catch (error) {
      const away = findAppError(error)
      if (away?.transient !== true) throw error
      log.warn({
        reason: (away.cause as Error | undefined)?.message ?? away.message, again_in_ms: pauseMs
      }, `waiting for ${name}`)
    }
    signal?.throwIfAborted()
    await new Promise(resolve => setTimeout(resolve, pauseMs))
    signal?.throwIfAborted()
  }
}

/** Throws `WrongDatabaseUrl` where no waiting helps. */
export const probeDatabase = (database: Database) => async (): Promise<void> => {
  try {
    await readEpoch(database.autocommit)
  } catch (error) {
    throw distrust(error) ?? error
  }
}

/** The parts of a process that may fail while it runs. */
export interface Dependencies {
  database: Database
  cluster: Pick<Cluster, 'state'>
  /** Undefined: the process has no push bridge. */
  push: PushHealth | undefined
  /** Undefined: the process serves no attachments. */
  files: FileStore | undefined
}

/**
 * Only the database decides. Without Redis everything goes on, only slower; without FCM pushes are kept;
 * without files attachments alone fail.
 */
export async function readinessOf ({ database, cluster, push, files }: Dependencies): Promise<Readiness> {
  const filesAnswer = files && answers(() => files.probe())
  const databaseAnswers = await answers(probeDatabase(database))
  const dependencies: Readiness['dependencies'] =
    { database: stateOf(databaseAnswers, 'the database does not answer') }
  const redis = cluster.state()
  if (redis !== 'alone') {
    dependencies.redis = stateOf(
      redis === 'connected', 'Redis does not answer; nodes find each other\'s events by the sweep'
    )
  }
  if (push !== undefined) dependencies.push = push
  if (filesAnswer !== undefined) {
    dependencies.files = stateOf(
      await filesAnswer,
      'the file store does not take files; attachments fail, the rest goes on'
    )
  }
  return { ready: databaseAnswers, dependencies }
}

/** Of a process that cannot serve yet, or no longer. */
export const notReady = (detail: string): Readiness =>
  ({ ready: false, dependencies: { echo: { ok: false, detail } } })

/** False also when it takes longer than a load balancer waits. */
const answers = async (probe: () => Promise<unknown>): Promise<boolean> =>
  await withinMs(PROBE_MS, probe().then(() => true, () => false)) ?? false

const stateOf = (ok: boolean, detail: string): Readiness['dependencies'][string] =>
  ok ? { ok } : { ok, detail }
