/** Makes due what sessions left unacknowledged that nobody watches any more, beside the pushes. */
import { type Logger } from 'pino'
import { setTimeout as pause } from 'node:timers/promises'
import { failureLevel } from '../core/errors.ts'
import { type Database } from '../store/database.ts'
import { recoverPage, recoveryWanted } from '../store/push/recovery.ts'

const USERS_PER_PAGE = 1_000
const LOOK_EVERY_MS = 5_000
/** Between two pages, so that other work comes in. */
const PAUSE_MS = 20

export interface RecoveryDeps {
  database: Database
  /** Some users became due. */
  pushDue (): void
  /** What is older is pushed no more. */
  expireAfterMs: number
  now: () => number
  log: Logger
  signal: AbortSignal
}

/** Runs until `signal`; never rejects. */
export async function runRecovery (
  { database, pushDue, expireAfterMs, now, log, signal }: RecoveryDeps
): Promise<void> {
  while (!signal.aborted) {
    let due: number | undefined
    try {
      due = await recoveryWanted(database.autocommit)
        ? await database.transact(tx =>
          recoverPage(tx, { limit: USERS_PER_PAGE, since: new Date(now() - expireAfterMs) }))
        : undefined
      if (due !== undefined && due > 0) pushDue()
    } catch (error) {
      log[failureLevel(error)]({ err: error }, 'lost pushes could not be made due and will be tried again')
    }
    await pause(due === undefined ? LOOK_EVERY_MS : PAUSE_MS, undefined, { signal }).catch(() => {})
  }
}
