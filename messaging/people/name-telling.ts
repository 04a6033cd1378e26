/**
 * Tells the others of a new name, in pieces: a user has it in up to 500 conversations with 32 members each,
 * and a piece locks the users of 32 of them only.
 *
 * The first piece belongs to the transaction that sets the name. What is left is a row, and the process that
 * set the name goes on at once. When it dies, or the database was away, any other one goes on from the last
 * piece.
 */
import { type Logger } from 'pino'
import { failureLevel } from '../../core/errors.ts'
import { type Database, type Executor } from '../../store/database.ts'
import { lockUsers } from '../../store/locks.ts'
import { appendEvents, type AppendedEvent } from '../../store/log/inbox.ts'
import { endTelling, leaveToTell, leftToTell, toldTo } from '../../store/people/name-changes.ts'
import { CONVERSATIONS_PER_PIECE, nameAudience } from '../../store/people/profiles.ts'
import { type Announce } from '../log/announce.ts'

const LOOK_MS = 30_000
/** Nobody works on what was not touched for so long. */
const IDLE_MS = 20_000
const BEGIN = '00000000-0000-0000-0000-000000000000'

export interface NameTelling extends AsyncDisposable {
  /** Locks the user and those whom the first piece concerns; the name is set after that. */
  lock (tx: Executor, userId: string): Promise<void>
  /** The first piece. */
  begin (tx: Executor, userId: string): Promise<AppendedEvent[]>
  /** Announces the first piece and does the others. Never rejects: what fails is done later. */
  goOn (userId: string, first: AppendedEvent[]): Promise<void>
}

export interface NameTellingDeps {
  database: Database
  announce: Announce
  now: () => number
  log: Logger
  lookMs?: number
  idleMs?: number
}

export function startNameTelling (
  { database, announce, now, log, lookMs = LOOK_MS, idleMs = IDLE_MS }: NameTellingDeps
): NameTelling {
  let looking: Promise<void> | undefined
  let stopped = false

  async function lockAfter (tx: Executor, userId: string, conversationId: string): Promise<void> {
    const audience = await nameAudience(tx, userId, conversationId)
    await lockUsers(tx, [...new Set([userId, ...audience.map(member => member.user_id)])])
  }

  // Read again under the user's lock: letting a user into a conversation takes that lock too, so these are
  // all who could have seen the former name.
  async function append (tx: Executor, userId: string, after: string): Promise<AppendedEvent[]> {
    const audience = await nameAudience(tx, userId, after)
    const told = [...new Set(audience.map(member => member.conversation_id))]
    if (told.length === CONVERSATIONS_PER_PIECE) await leaveToTell(tx, userId, told.at(-1)!)
    else await endTelling(tx, userId)
    return await appendEvents(tx, audience.map(member => ({
      user_id: member.user_id,
      type: 'participant_updated' as const,
      conversation_id: member.conversation_id,
      data: { user_id: userId }
    })), new Date(now()))
  }

  /** Undefined: nothing is left. */
  async function nextPiece (userId: string): Promise<AppendedEvent[] | undefined> {
    return await database.transact(async tx => {
      const place = await toldTo(tx, userId)
      if (place === undefined) return undefined
      await lockAfter(tx, userId, place)
      // Under the lock: another process, or a newer name, may have been here.
      return await toldTo(tx, userId) === place ? await append(tx, userId, place) : []
    })
  }

  async function finish (userId: string): Promise<void> {
    for (;;) {
      const events = stopped ? undefined : await nextPiece(userId)
      if (events === undefined) return
      await announce(events)
    }
  }

  async function look (): Promise<void> {
    try {
      for (const userId of await leftToTell(database.autocommit, idleMs)) await finish(userId)
    } catch (error) {
      report(error)
    }
  }

  const report = (error: unknown): void =>
    log[failureLevel(error)]({ err: error }, 'a new name is not told everywhere yet and will be later')

  const timer = setInterval(() => { looking ??= look().finally(() => { looking = undefined }) }, lookMs)
  return {
    lock: (tx, userId) => lockAfter(tx, userId, BEGIN),
    begin: (tx, userId) => append(tx, userId, BEGIN),
    async goOn (userId, first) {
      await announce(first)
      await finish(userId).catch(report)
    },
    async [Symbol.asyncDispose] () {
      stopped = true
      clearInterval(timer)
      await looking
    }
  }
}
