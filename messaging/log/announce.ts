/**
 * Tells the participants of a change of their conversation, or of a name in it, once it is committed.
 *
 * A wake carries the event, so that 1,000 devices do not each read their log and the conversation.
 * What differs between recipients is read for many of them at once; what is the same for all is
 * encoded once. Recipients are told in pieces, between which the process does other work: a write
 * to 1,000 sockets in one turn would hold up all others. All events of one user are in one
 * piece. A wake that comes meanwhile may overtake it; the user's pumps then read their log.
 */
import { setImmediate as otherWork } from 'node:timers/promises'
import { conversationViews } from '../../store/conversations/views.ts'
import { type Database, type Executor } from '../../store/database.ts'
import { type AppendedEvent } from '../../store/log/inbox.ts'
import { type WakeEvent } from '../deliver/wakes.ts'
import { nameIn, namesFor } from './names.ts'
import { refersTo, wakesFor } from './render.ts'

/** A piece takes some 5 ms of one core, and its views as much of the database. */
const USERS_PER_PIECE = 100
const EVENTS_PER_PIECE = 1_000

export interface AnnounceDeps { database: Database, epoch: () => string, wake: (events: WakeEvent[]) => void }

/** Resolves when all were told. Never rejects: where the event cannot be read, its users are told to look. */
export type Announce = (events: AppendedEvent[]) => Promise<void>

export const createAnnounce = ({ database, epoch, wake }: AnnounceDeps): Announce => async events => {
  const pieces = piecesOf(events)
  for (const [i, piece] of pieces.entries()) {
    try {
      wake(await renderWakes(database.autocommit, epoch(), piece))
    } catch {
      // The database went away after the commit. The log has the events, and every pump can read it.
      wake(pieces.slice(i).flat().map(({ user_id, seq }) => ({ userId: user_id, seq })))
      return
    }
    await otherWork()
  }
}

/** Keeps the order of events, so that those that say the same stay neighbours. */
function piecesOf (events: AppendedEvent[]): AppendedEvent[][] {
  const counts = new Map<string, number>()
  for (const { user_id } of events) counts.set(user_id, (counts.get(user_id) ?? 0) + 1)
  const pieces: AppendedEvent[][] = []
  const pieceOf = new Map<string, AppendedEvent[]>()
  let users = 0
  let size = 0
  for (const [userId, count] of counts) {
    if (pieces.length === 0 || users === USERS_PER_PIECE || size + count > EVENTS_PER_PIECE) {
      pieces.push([])
      users = size = 0
    }
    pieceOf.set(userId, pieces.at(-1)!)
    users++
    size += count
  }
  for (const event of events) pieceOf.get(event.user_id)!.push(event)
  return pieces
}

async function renderWakes (db: Executor, epoch: string, events: AppendedEvent[]): Promise<WakeEvent[]> {
  const names = await namesFor(db, events)
  const carrying = events.filter(({ type }) => refersTo(type) === 'conversation')
  const views = carrying.length === 0
    ? []
    : await conversationViews(db, carrying.map(event =>
      ({ conversationId: event.conversation_id!, userId: event.user_id })))
  const conversations = new Map(carrying.map((event, i) => [event, { conversation: views[i] ?? null }]))
  return wakesFor(epoch, events, event => conversations.get(event) ?? nameIn(names, event))
}
