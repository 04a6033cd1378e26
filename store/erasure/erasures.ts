/**
 * Erasures: whose data is to go, and how far that has got. A row is the durable
 * mark; the process that holds its lock does the next piece, and saves where it
 * got to in the same transaction.
 *
 * Locks: before everything else; a process that does pieces never waits for them.
 */
import { type Executor, type Statement } from '../database.ts'

export type ErasureStep =
  'leave' | 'messages' | 'receipts' | 'reactions' | 'mentions' | 'retained' | 'inbox' | 'rest'

/** `at_id` and `at_seq`: everything up to there is done; they mean something else in each step. */
export interface ErasurePosition { step: ErasureStep, at_id: string, at_seq: number }

export interface Erasure extends ErasurePosition {
  user_id: string
  requested_by: string
  requested_at: Date
  /** Messages erased so far. */
  messages: number
  finished_at: Date | null
}

export const NIL = '00000000-0000-0000-0000-000000000000'
const COLUMNS = 'user_id, requested_by, requested_at, step, at_id, at_seq, messages, finished_at'

// One that is running goes on where it is.
const BEGIN: Statement = {
  name: 'erasures_begin',
  text: `
    insert into erasures as e (user_id, requested_by, requested_at, due_at, step, at_id, at_seq, messages)
    values ($1, $2, now(), now(), 'leave', '${NIL}', 0, 0)
    on conflict (user_id) do update
       set requested_by = case when e.finished_at is null then e.requested_by else excluded.requested_by end,
           requested_at = case when e.finished_at is null then e.requested_at else excluded.requested_at end,
           due_at = excluded.due_at,
           step = case when e.finished_at is null then e.step else excluded.step end,
           at_id = case when e.finished_at is null then e.at_id else excluded.at_id end,
           at_seq = case when e.finished_at is null then e.at_seq else excluded.at_seq end,
           messages = case when e.finished_at is null then e.messages else 0 end,
           finished_at = null
    returning ${COLUMNS}`
}

/** The user's lock comes after this one's. */
export async function beginErasure (tx: Executor, userId: string, actorId: string): Promise<Erasure> {
  const [erasure] = await tx.rows<Erasure>(BEGIN, [userId, actorId])
  return erasure!
}

const FIND: Statement = { name: 'erasures_find', text: `select ${COLUMNS} from erasures where user_id = $1` }

export async function findErasure (db: Executor, userId: string): Promise<Erasure | undefined> {
  const [erasure] = await db.rows<Erasure>(FIND, [userId])
  return erasure
}

// Index: erasures_due_index.
const CLAIM: Statement = {
  name: 'erasures_claim',
  text: `
    select ${COLUMNS}
      from erasures
     where finished_at is null and due_at <= now() and step <> all($1::text[])
     order by due_at
     limit 1
       for update skip locked`
}

/** An unfinished erasure that no other process is at, locked; not one at a step that is not for this one. */
export async function claimErasure (
  tx: Executor, notFor: ErasureStep[] = []
): Promise<Erasure | undefined> {
  const [erasure] = await tx.rows<Erasure>(CLAIM, [notFor])
  return erasure
}

const SAVE: Statement = {
  name: 'erasures_save',
  text: 'update erasures set step = $2, at_id = $3, at_seq = $4, messages = messages + $5 where user_id = $1'
}

export async function saveProgress (
  tx: Executor, userId: string, { step, at_id, at_seq }: ErasurePosition, erased = 0
): Promise<void> {
  await tx.rows(SAVE, [userId, step, at_id, at_seq, erased])
}

const POSTPONE: Statement = {
  name: 'erasures_postpone',
  text:
    'update erasures set due_at = greatest(now(), $2::timestamptz) where user_id = $1 and finished_at is null'
}

export async function postponeErasure (db: Executor, userId: string, until: Date): Promise<void> {
  await db.rows(POSTPONE, [userId, until])
}

const FINISH: Statement =
  { name: 'erasures_finish', text: 'update erasures set finished_at = now() where user_id = $1' }

export async function finishErasure (tx: Executor, userId: string): Promise<void> {
  await tx.rows(FINISH, [userId])
}
