/**
 * What one user may have done in an hour, by the work it makes: requests that are few can still be
 * dear. A request says what it costs before anything is done for it.
 *
 * An allowance fills up evenly, from nothing to its whole in an hour. What is left of it is known from
 * one number, the time at which it is whole again.
 */
import { rateLimited } from '../../core/errors.ts'
import { rateLimitedTotal } from '../metrics.ts'

const HOUR_MS = 3_600_000
const MEBIBYTE = 1024 * 1024

const ALLOWANCES = {
  /** Conversations created and participants added: events that they make. */
  people: 20_000,
  /** Titles and names changed: events that they make. */
  names: 20_000,
  /** Files uploaded: bytes. */
  files: 1024 * MEBIBYTE
}
export type Allowance = keyof typeof ALLOWANCES

/** A change is dear by itself, too, however few are told. */
const PER_CONVERSATION = 10
const PER_NAME = 100
/** So many small files cost as much as large ones. */
const LEAST_PER_FILE = MEBIBYTE / 4
/** Beyond it participants are told of all who enter at once (messaging/conversations/participants.ts). */
const MAX_ADDED_EVENTS = 2_000

export const costOf = {
  creating: (others: number): number => PER_CONVERSATION + others + 1,
  adding: (added: number, members: number): number => added + Math.min(added * members, MAX_ADDED_EVENTS),
  naming: (told: number): number => PER_NAME + told,
  uploading: (bytes: number): number => Math.max(bytes, LEAST_PER_FILE)
}

/**
 * Counts `costMs` of the window to the key. Resolves to 0, or, when that would be too much and nothing
 * was counted, to how many milliseconds later it is not. Rejects when it cannot be counted.
 */
export type Charge = (key: string, costMs: number, windowMs: number) => Promise<number>

/** Throws `too_many`. What cannot be counted is not limited. */
export type Spend = (allowance: Allowance, userId: string, cost: number) => Promise<void>

export const createSpend = (charge: Charge): Spend => async (allowance, userId, cost) => {
  const whole = ALLOWANCES[allowance]
  // What is dearer than the whole is possible once it is whole.
  const costMs = Math.ceil(Math.min(cost, whole) / whole * HOUR_MS)
  const lateMs = await charge(`${allowance} ${userId}`, costMs, HOUR_MS).catch(() => 0)
  if (lateMs === 0) return
  rateLimitedTotal.inc({ limit: allowance })
  throw rateLimited(REASONS[allowance], Math.ceil(lateMs / 1_000))
}

const REASONS: Record<Allowance, string> = {
  people: 'more conversations or participants within an hour than a user may bring about',
  names: 'more changes of titles and names within an hour than a user may make',
  files: 'more uploads within an hour than a user may make'
}
