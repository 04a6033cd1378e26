/**
 * Brings the words of messages into the index of search, behind the sends and in sets.
 *
 * Search looks through the newest messages of a conversation itself, so only long conversations are
 * indexed, and a message is found as soon as it is committed. The committer says when a conversation
 * grew by NOTICE_EVERY messages; what it says is lost with the process, so all conversations are
 * looked through at the start and each hour. Several processes may index at once: each piece holds
 * the lock of its conversation's progress.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { type Logger } from 'pino'
import { failureLevel } from '../../core/errors.ts'
import { type Database } from '../../store/database.ts'
import { indexMessages, unindexedCounts } from '../../store/messages/search-index.ts'

/** Search looks through twice as many itself. */
export const INDEXED_FROM = 512
const NOTICE_EVERY = 128
const MESSAGES_PER_PIECE = 500
const CONVERSATIONS_PER_LOOK = 1_000
/** Others come in between two pieces. */
const PAUSE_MS = 20
const RETRY_MS = 1_000
const LOOK_EVERY_MS = 3_600_000
const FIRST_ID = '00000000-0000-0000-0000-000000000000'

export interface SearchIndexer extends AsyncDisposable {
  /** These messages were committed. */
  stored (messages: Array<{ conversation_id: string, seq: number }>): void
}

export function startSearchIndexer (
  { database, log }: { database: Database, log: Logger }
): SearchIndexer {
  const waiting = new Set<string>()
  const stopping = new AbortController()
  const { signal } = stopping
  let lookAfter: string | undefined = FIRST_ID
  let failing = false
  let running: Promise<void> | undefined

  /** False when nothing is left to do. */
  async function step (): Promise<boolean> {
    const [conversationId] = waiting
    if (conversationId !== undefined) {
      // Behind the others when there is more, or when it fails.
      let more = true
      waiting.delete(conversationId)
      try {
        const count = await database.transact(tx => indexMessages(tx, conversationId, MESSAGES_PER_PIECE))
        more = count === MESSAGES_PER_PIECE
      } finally {
        if (more) waiting.add(conversationId)
      }
      return true
    }
    if (lookAfter === undefined) return false
    const page = await unindexedCounts(database.autocommit, lookAfter, CONVERSATIONS_PER_LOOK)
    for (const { id, waiting: count } of page) if (count >= INDEXED_FROM) waiting.add(id)
    lookAfter = page.at(-1)?.id
    return true
  }

  async function run (): Promise<void> {
    while (!signal.aborted) {
      try {
        if (!await step()) return
        failing = false
        await pause(PAUSE_MS, undefined, { signal })
      } catch (error) {
        if (signal.aborted) return
        if (!failing) log[failureLevel(error)]({ err: error }, 'messages cannot be indexed for search now')
        failing = true
        await pause(RETRY_MS, undefined, { signal }).catch(() => {})
      }
    }
  }

  const start = (): void => { running ??= run().finally(() => { running = undefined }) }
  start()
  const timer = setInterval(() => {
    lookAfter ??= FIRST_ID
    start()
  }, LOOK_EVERY_MS)

  return {
    stored (messages) {
      for (const { conversation_id, seq } of messages) {
        if (seq >= INDEXED_FROM && seq % NOTICE_EVERY === 0) waiting.add(conversation_id)
      }
      if (waiting.size > 0 && !signal.aborted) start()
    },
    async [Symbol.asyncDispose] () {
      stopping.abort()
      clearInterval(timer)
      await running
    }
  }
}
