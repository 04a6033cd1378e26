/** Puts the messaging of one process together: what the doors call, and what runs behind it. */
import { type Logger } from 'pino'
import { type Database } from '../store/database.ts'
import { readEpoch } from '../store/meta.ts'
import { collectAcknowledgements, type Acknowledgements } from './acknowledgements.ts'
import { startAuthentication, type Authentication, type AuthenticationOptions } from './authentication.ts'
import { commitSends } from './commit-sends.ts'
import { manageConversations, type Conversations } from './conversations.ts'
import { readInboxLog, type InboxLog } from './inbox-log.ts'
import { collectOverdue, type Overdue } from './overdue.ts'
import { startReads, type Reads } from './reads.ts'
import { startSends, type Sends } from './sends.ts'
import { createSessions, type Sessions } from './sessions.ts'
import { startSweep } from './sweep.ts'
import { createWakes, type WakeEvent, type Wakes } from './wakes.ts'

export interface MessagingDeps {
  database: Database
  authentication: AuthenticationOptions
  graceMs: number
  log: Logger
}

export interface Messaging extends AsyncDisposable {
  database: Database
  epoch: string
  authentication: Authentication
  sends: Sends
  reads: Reads
  conversations: Conversations
  acknowledgements: Acknowledgements
  inboxLog: InboxLog
  sessions: Sessions
  wakes: Wakes
  overdue: Overdue
  graceMs: number
  /** Calls back soon after push rows were written; a hint for a bridge in this process. */
  onPushDue (listener: () => void): void
}

export async function startMessaging ({ database, authentication, graceMs, log }: MessagingDeps): Promise<Messaging> {
  const epoch = await readEpoch(database.reads)
  const sessions = createSessions()
  const wakes = createWakes()
  const wake = (events: WakeEvent[]): void => wakes.wake(events)
  const pushListeners: Array<() => void> = []
  const pushDue = (): void => { for (const listener of pushListeners) listener() }

  const overdue = collectOverdue({ database, pushDue, log })
  const sends = startSends(commitSends({
    database,
    epoch,
    wake,
    pushDue,
    overdue: overdue.add,
    hasSession: userIds => Promise.resolve(new Set(userIds.filter(id => sessions.has(id))))
  }))
  const reads = startReads({ database, epoch, wake })
  const acknowledgements = collectAcknowledgements({ database, epoch, wake, log })
  const sweep = startSweep({ sessions, database, overdue, graceMs, log, now: Date.now })

  return {
    database,
    epoch,
    authentication: startAuthentication(authentication, database),
    sends,
    reads,
    conversations: manageConversations({ database, wake }),
    acknowledgements,
    inboxLog: readInboxLog(database.reads, epoch),
    sessions,
    wakes,
    overdue,
    graceMs,
    onPushDue (listener) { pushListeners.push(listener) },
    async [Symbol.asyncDispose] () {
      await sweep[Symbol.asyncDispose]()
      await Promise.all([sends.drained(), reads.drained()])
      await acknowledgements.flush()
      await overdue.flush()
    }
  }
}
