/** What waits for a batch: sends, acknowledgements and reads, and how each learns what became of it. */
import { type Logger } from 'pino'
import { AppError } from '../../core/errors.ts'
import { type WaitingAcknowledgement } from '../receipts/acknowledgements.ts'
import { type PreparedRead } from '../receipts/read-receipts.ts'
import { type SendOutcome, type WaitingSend } from '../send/queue.ts'
import { type Batch } from './context.ts'

export interface WaitingRead { prepared: PreparedRead, resolve: () => void, reject: (error: unknown) => void }

export type Item =
  | { kind: 'send', entry: WaitingSend }
  | { kind: 'acknowledgement', entry: WaitingAcknowledgement }
  | { kind: 'read', entry: WaitingRead }

/** Of a send what became of it, also that it waits for the next batch; of the others only what went wrong. */
export type Outcome = SendOutcome | Error

export const sendItem = (entry: WaitingSend): Item => ({ kind: 'send', entry })
export const acknowledgementItem = (entry: WaitingAcknowledgement): Item =>
  ({ kind: 'acknowledgement', entry })
export const readItem = (entry: WaitingRead): Item => ({ kind: 'read', entry })

export function batchOf (items: Item[]): Batch {
  const batch: Batch = { sends: [], acknowledgements: [], reads: [] }
  for (const { kind, entry } of items) {
    if (kind === 'send') batch.sends.push(entry)
    else if (kind === 'acknowledgement') batch.acknowledgements.push(entry)
    else batch.reads.push(entry.prepared)
  }
  return batch
}

/** What has to wait on. */
export interface Left {
  postponed: WaitingSend[]
  kept: WaitingAcknowledgement[]
  /** Why acknowledgements are kept. */
  away: AppError | undefined
}

/** Tells all who wait what became of their item. */
export function answer (items: Item[], outcomes: Outcome[], log: Logger): Left {
  const left: Left = { postponed: [], kept: [], away: undefined }
  items.forEach((item, i) => {
    const outcome = outcomes[i]
    if (item.kind === 'send') {
      if (outcome === undefined) left.postponed.push(item.entry)
      else if (outcome instanceof Error) item.entry.reject(outcome)
      else item.entry.resolve(outcome)
    } else if (item.kind === 'read') {
      if (outcome instanceof Error) item.entry.reject(outcome)
      else item.entry.resolve()
    } else if (!(outcome instanceof Error)) {
      for (const caller of item.entry.callers) caller.resolve()
    } else {
      for (const caller of item.entry.callers.splice(0)) caller.reject(outcome)
      // Kept while the database is away. Dropped when it refuses them: one device gets its events again.
      if (outcome instanceof AppError) {
        left.away = outcome
        left.kept.push(item.entry)
      } else {
        const { userId, deviceId, seq } = item.entry
        log.error({
          err: outcome, user_id: userId, device_id: deviceId, seq
        }, 'an acknowledgement could not be written')
      }
    }
  })
  return left
}
