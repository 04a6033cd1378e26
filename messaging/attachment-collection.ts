/**
 * Collecting files that nothing refers to: uploads that were never sent within a day, those of deleted
 * messages, earlier avatars, and what crashed uploads left. The file goes first, then the row, which until
 * then is the only way to find it. Any number of processes may be at it.
 */
import { type Logger } from 'pino'
import { lockReleased, removeAttachments } from '../store/attachments.ts'
import { type Database } from '../store/database.ts'
import { type FileStore } from '../store/files/file-store.ts'

const EVERY_MS = 600_000
const FILES_PER_BATCH = 50
const AT_ONCE = 5
const PAUSE_MS = 50

export interface CollectionDeps { database: Database, files: FileStore, log: Logger }

/** Resolves to how many files went. Throws, after what could be removed was, when the store refuses one. */
export async function collectAttachments ({ database, files }: CollectionDeps, signal?: AbortSignal): Promise<number> {
  let total = 0
  for (let found = FILES_PER_BATCH; found === FILES_PER_BATCH && signal?.aborted !== true;) {
    const batch = await database.transact(async tx => {
      const ids = await lockReleased(tx, FILES_PER_BATCH)
      const { removed, failure } = await removeFiles(files, ids)
      await removeAttachments(tx, removed)
      return { found: ids.length, removed: removed.length, failure }
    })
    if (batch.failure !== undefined) throw batch.failure
    total += batch.removed
    found = batch.found
    await new Promise(resolve => setTimeout(resolve, PAUSE_MS))
  }
  return total
}

/** A store that refuses one is not asked for the others: the rows are locked meanwhile. */
async function removeFiles (files: FileStore, ids: string[]): Promise<{ removed: string[], failure?: unknown }> {
  const removed: string[] = []
  for (let i = 0; i < ids.length; i += AT_ONCE) {
    const some = ids.slice(i, i + AT_ONCE)
    const outcomes = await Promise.allSettled(some.map(id => files.remove(id)))
    removed.push(...some.filter((_, n) => outcomes[n]!.status === 'fulfilled'))
    const refused = outcomes.find(outcome => outcome.status === 'rejected')
    if (refused !== undefined) return { removed, failure: refused.reason }
  }
  return { removed }
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
      deps.log.warn({ err: error }, 'files that nothing refers to could not be removed and will be next time')
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
