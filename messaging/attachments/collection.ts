/**
 * Collecting files that nothing refers to: uploads that were never sent within a day, those of
 * deleted messages, earlier avatars, and what crashed uploads left. The file goes first, then the
 * row, which until then is the only way to find it. Any number of processes may be at it: each
 * claims what it removes, and no transaction is open while a store is slow. A claim that is left
 * undone is the next run's; removing a file twice does no harm.
 */
import { type Logger } from 'pino'
import { failureLevel } from '../../core/errors.ts'
import { claimReleased, releaseClock, removeAttachments } from '../../store/attachments.ts'
import { type Database } from '../../store/database.ts'
import { type FileStore } from '../../store/files/file-store.ts'

const EVERY_MS = 600_000
const FILES_PER_BATCH = 50
const AT_ONCE = 5
const PAUSE_MS = 50

export interface CollectionDeps { database: Database, files: FileStore, log: Logger }

/** Resolves to how many files went. Throws, after what could be removed was, when the store refused one. */
export async function collectAttachments (
  { database, files }: CollectionDeps, signal?: AbortSignal
): Promise<number> {
  // What this run has claimed counts as released later, and is not claimed again.
  const before = await releaseClock(database.autocommit)
  let total = 0
  let failure: unknown
  for (;;) {
    const ids = await claimReleased(database.autocommit, before, FILES_PER_BATCH)
    const outcome = await removeFiles(files, ids, signal)
    await removeAttachments(database.autocommit, outcome.removed)
    total += outcome.removed.length
    failure ??= outcome.failure
    const storeAway = outcome.removed.length === 0
    if (ids.length < FILES_PER_BATCH || storeAway || signal?.aborted === true) break
    await new Promise(resolve => setTimeout(resolve, PAUSE_MS))
  }
  if (failure !== undefined) throw failure
  return total
}

async function removeFiles (
  files: FileStore, ids: string[], signal: AbortSignal | undefined
): Promise<{ removed: string[], failure?: unknown }> {
  const removed: string[] = []
  let failure: unknown
  for (let i = 0; i < ids.length && signal?.aborted !== true; i += AT_ONCE) {
    const some = ids.slice(i, i + AT_ONCE)
    const outcomes = await Promise.allSettled(some.map(id => files.remove(id)))
    removed.push(...some.filter((_, n) => outcomes[n]!.status === 'fulfilled'))
    failure ??= outcomes.find(outcome => outcome.status === 'rejected')?.reason
  }
  return { removed, failure }
}

/** Once at start, for what a crash left, then from time to time. */
export function startCollection (deps: CollectionDeps): AsyncDisposable {
  const stopping = new AbortController()
  let running: Promise<void> | undefined

  async function run (): Promise<void> {
    try {
      const files = await collectAttachments(deps, stopping.signal)
      if (files > 0) deps.log.info({ files }, 'files that nothing refers to were removed')
    } catch (error) {
      deps.log[failureLevel(error)](
        { err: error }, 'files that nothing refers to could not be removed and will be next time'
      )
    }
  }

  const start = (): void => { running ??= run().finally(() => { running = undefined }) }
  start()
  const timer = setInterval(start, EVERY_MS)
  return {
    async [Symbol.asyncDispose] () {
      clearInterval(timer)
      stopping.abort()
      await running
    }
  }
}
